"""Moderation: what must not come in or go out, and what is done when it does."""
