"""Models that judge a text: classifiers (tier 1) and a judge that reads a written policy (tier 2), over HTTP."""
