"""`portico doctor`: what goes wrong in practice, looked at before it does, a verdict for each.

Probes gather facts and decide nothing; each has a time limit and changes nothing. Deciders make verdicts of facts, and
are pure. `examination.py` puts them together, `command.py` prints.
"""
