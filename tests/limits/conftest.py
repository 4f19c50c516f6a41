"""The real Redis of the tests of limits."""

from tests.services.redis import redis_server

__all__ = ["redis_server"]
