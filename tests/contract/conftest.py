"""The real Redis of the contract tests."""

from tests.services.redis import redis_server

__all__ = ["redis_server"]
