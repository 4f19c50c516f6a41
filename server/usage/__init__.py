"""The path of a usage record from the end of its call to the ledger, through a spool on disk."""
