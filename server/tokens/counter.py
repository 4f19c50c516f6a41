"""Stub."""

from server.call import Call


class TokenCounter:
    def upper_bound(self, call: Call) -> int:
        return call.size + 100

    def count(self, call: Call) -> int:
        return call.size
