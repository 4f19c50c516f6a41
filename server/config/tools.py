"""The section of tool servers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from server.config.section import HeaderName, HeaderValue, Name, Seconds, Section, Url

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$", max_length=32)]
"""No two underscores in a row: they part a label from the name of its tool (responses/hosted.py)."""
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ToolServer(Section):
    url: Url = Field(description="Its MCP endpoint (streamable HTTP), such as http://search:8000/mcp.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Further headers for it, such as its key.", repr=False
    )
    role: Literal["mcp", "code_interpreter", "web_search"] = Field(
        default="mcp",
        description="`mcp`: requests name it by its label; else it is for the tool of that name.",
    )
    projects: tuple[Name, ...] | None = Field(
        default=None, description="Projects, by their id, whose requests may use it; null: all."
    )
    allowed_tools: tuple[ToolName, ...] | None = Field(
        default=None, description="Its tools that may be used; null: all."
    )
    timeout_s: Seconds = Field(default=30, description="Longest time of a call, and of listing its tools.")
    max_in_flight: int = Field(default=16, ge=1, description="Calls that a worker has open there; more wait.")


class Tools(Section):
    servers: dict[Label, ToolServer] = Field(
        default_factory=dict,
        description="MCP servers that requests may use, by label. No other is ever spoken to.",
    )
    max_rounds: int = Field(default=16, ge=2, le=128, description="Calls of the engine for one response.")
    max_output_bytes: int = Field(
        default=65_536, ge=256, description="Output of one call of a tool that reaches the model; the rest is cut off."
    )
    list_s: Seconds = Field(default=300, description="How long a server's list of its tools is believed.")
