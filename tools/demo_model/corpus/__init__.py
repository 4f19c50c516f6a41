"""The synthetic corpus. mix.py puts it together; the other files each make one sort of conversation."""
