"""Moderation: what a policy refuses or removes, in whole texts and in texts that come in parts."""
