"""Limits: how much a key, a project and a model may use. Charged before dispatch, settled to what was used."""
