"""How a call of a tool can fail. Messages are for the client and the model: no address, no secret."""

from __future__ import annotations

from typing import Any, Literal

Failure = Literal["timeout", "unreachable", "http_error", "protocol_error", "too_large"]
INTERNAL = -32603
"""JSON-RPC's code for what went wrong on the way."""


class ToolFault(Exception):
    """`failure` is a bounded name for metrics, `error` in the shape of OpenAI's `MCPToolCallError`."""

    def __init__(self, failure: Failure, message: str, code: int = INTERNAL) -> None:
        super().__init__(message)
        self.failure: Failure = failure
        kind = "http_error" if failure == "http_error" else "mcp_protocol_error"
        self.error: dict[str, Any] = {"type": kind, "code": code, "message": message}


def unreachable() -> ToolFault:
    return ToolFault("unreachable", "The tool server cannot be reached.")


def timed_out() -> ToolFault:
    return ToolFault("timeout", "The tool server did not answer in time.")


def too_large(most: int) -> ToolFault:
    return ToolFault("too_large", f"The tool server's answer is larger than {most} bytes.")


def not_mcp() -> ToolFault:
    return ToolFault("protocol_error", "The tool server's answer is not one of MCP.")
