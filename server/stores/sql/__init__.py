"""The durable store: SQLite or PostgreSQL behind one implementation in SQLAlchemy Core.

`opening.open_durable` migrates and connects; `opening.connect_durable` only connects, for further processes.
"""
