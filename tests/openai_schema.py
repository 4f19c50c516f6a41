"""Validates answers against OpenAI's own schemas (tests/data/openai/, and those of moderation in tests/openai/).

    check = validator("CreateChatCompletionResponse")
    check(response.json())  # AssertionError that names the place and what is wrong with it

The schemas leave objects open, so `reasoning` and `reasoning_content`, which Portico adds to messages and deltas,
pass, as would any other key: that no engine internals leak is for other tests to see.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

SCHEMAS = Path(__file__).parent / "data/openai/schemas.json"
MODERATION = Path(__file__).parent / "openai/moderation_schemas.json"


@cache
def validator(name: str) -> Callable[[object], None]:
    """A check against the schema called `name`; a streamed chunk of /v1/completions is CreateCompletionStreamResponse.

    Raises KeyError for an unknown name. The check raises AssertionError with the path of the worst fault.
    """
    definitions: dict[str, Any] = {}
    for file in (SCHEMAS, MODERATION):
        definitions |= json.loads(file.read_text(encoding="utf-8"))["$defs"]
    if name not in definitions:
        raise KeyError(name)
    # No format checker: `format` stays a note to the reader, as the draft has it by default.
    compiled = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})

    def check(instance: Any) -> None:
        error = best_match(compiled.iter_errors(instance))
        if error is not None:
            raise AssertionError(f"{name}: {error.json_path}: {error.message}")

    return check
