"""Builds the demo model: a tiny gpt-oss that speaks real harmony and ships with Portico (see README.md here)."""
