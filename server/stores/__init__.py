"""State that outlives a request. `base.py` has the protocols, the rest implements them."""
