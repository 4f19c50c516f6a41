"""How well policies find what they are for: precision, recall and false positives, with intervals."""
