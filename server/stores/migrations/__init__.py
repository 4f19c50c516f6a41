"""How the tables came to be as they are: Alembic's environment, and a file per step in `versions/`.

A step is a copy of the newest file with the next number; `sql/tables.py` changes with it, SCHEMA too. There is no way
back: a backup is.
"""
