"""Removing records that are older than the configuration keeps them."""
