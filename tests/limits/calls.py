"""Calls for the tests of limits."""

from __future__ import annotations

import json
from typing import Any

from server.call import Call, Key, Project, ServedModel
from server.config import Limit, Model, Price
from server.openai.parse import CHAT, COMPLETION, parse


def a_call(
    key: Limit | None = None,
    project: Limit | None = None,
    project_model: Limit | None = None,
    model: Limit | None = None,
    *,
    price: Price | None = None,
    settings: dict[str, Any] | None = None,
    **body: Any,
) -> Call:
    """A call with these limits of its key, project, project with model, and model."""
    served = Model(
        engines=("e",), context_length=4096, limits=model or Limit(), price=price or Price(), **(settings or {})
    )
    chat = "prompt" not in body
    data = json.dumps({"model": "m", **({"messages": [{"role": "user", "content": "hi"}]} if chat else {}), **body})
    owner = Project(
        "proj_1", "one", limits=project or Limit(), model_limits={"m": project_model} if project_model else {}
    )
    return Call(
        "req_1",
        "chat.completions" if chat else "completions",
        Key("key_1", "k", owner, limits=key or Limit()),
        ServedModel("m", served, 1),
        parse(CHAT, data.encode(), 64) if chat else parse(COMPLETION, data.encode(), 64),
        stream=bool(body.get("stream")),
        include_usage=False,
        size=len(data),
    )
