"""What stops the managed engine, as one line for a person that ends in a way out."""

from __future__ import annotations


class EngineSetupError(Exception):
    """The managed engine cannot be chosen, installed or started. The text is one line and says what to do."""
