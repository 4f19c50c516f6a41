"""Prompt tokens, counted as the engine will: `counter.py` is what others use."""
