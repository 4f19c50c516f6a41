"""Writes the reference in docs/configuration.md from the descriptions in server/config/section.py.

    python tools/config_reference.py            # write it
    python tools/config_reference.py --check    # exit status 1 if it is not current

What stands above the marker in that file is written by hand and stays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that it runs in a checkout, installed or not

from server import config

DOCUMENT = Path(__file__).parent.parent / "docs/configuration.md"
MARKER = "<!-- Below this line: written by tools/config_reference.py. Do not edit. -->\n"
Json = dict[str, Any]


def pattern(annotated: object) -> str:
    """The regular expression of a string type of server/config/section.py."""
    return get_args(annotated)[1].pattern


WORDS = {pattern(config.Name): "name", pattern(config.Url): "URL", pattern(config.Sha256): "64 hexadecimal digits"}
WHOLE = {"engines": "{local: {managed: {model: auto}}}", "models": "{}"}  # defaults of the two mappings


@dataclass(frozen=True)
class Key:
    """A key of the configuration. In `path`, `<name>` stands for a name and `[]` for an entry of a list."""

    path: str
    type: str
    default: str
    description: str

    @property
    def variable(self) -> str | None:
        """Its environment variable; None for what is within a list, which is given whole."""
        if "[]" in self.path:
            return None
        return config.ENV_PREFIX + self.path.replace(".", "__").upper()


def entries(model: type[BaseModel] = config.Config, above: str = "") -> Iterator[Key]:
    """Every key in the order of the file, sections before what they hold."""
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        path = f"{above}.{name}" if above else name
        part = schema["properties"][name]
        below = section_of(field.annotation)
        if below is None or not is_plain_section(field.annotation):
            default = WHOLE.get(path) or default_of(field.get_default(call_default_factory=True))
            yield Key(path, type_of(part), default, field.description or "")
        else:
            yield Key(path, "section", "", field.description or "")
        if below is not None:
            yield from entries(below, path + suffix_of(field.annotation))


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds: itself, or as what may be null, or in a mapping or list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)


def is_plain_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def suffix_of(annotation: Any) -> str:
    origin = getattr(annotation, "__origin__", None)
    return {dict: ".<name>", tuple: "[]"}.get(origin, "") if origin else ""


def default_of(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)


def type_of(part: Json) -> str:
    """What a person calls it: `integer, 1 to 256`, `list of names`, `shown or hidden`."""
    if "anyOf" in part:
        kinds = [type_of(one) for one in part["anyOf"]]
        return (", or " if any("," in kind for kind in kinds) else " or ").join(kinds)
    if "enum" in part:
        return " or ".join(f"`{one}`" for one in part["enum"])
    match part.get("type", "object"):
        case "object":
            values = [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]
            inner = next((value for value in values if isinstance(value, dict)), None)
            text = f"{type_of(inner)}s by name" if inner else "section"
        case "array":
            what = type_of(part["items"])
            text = f"list of {what}" + ("" if "`" in what else "s")
        case "string":
            text = "path" if part.get("format") == "path" else WORDS.get(part.get("pattern", ""), "string")
        case number:
            text = ", ".join(filter(None, (number, bounds(part))))
    return text


def bounds(part: Json) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    above = part.get("exclusiveMinimum")
    if above is not None:
        return f"above {above:g}" + (f" to {high:g}" if high is not None else "")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if low is not None else ""


def rendered() -> str:
    """The reference, with the marker before it."""
    lines = [MARKER, "## Reference"]
    for key in entries():
        if "." not in key.path:
            lines += ["", f"### `{key.path}`", "", key.description]
            if key.type != "section":
                lines += ["", f"Type: {key.type}. Default: `{key.default}`. Environment: `{key.variable}`."]
            lines += ["", "| Key and environment | Type | Default | Meaning |", "|---|---|---|---|"]
            continue
        variable = f"<br>`{key.variable}`" if key.variable else ""
        default = f"`{key.default}`" if key.default else ("" if key.type == "section" else "required")
        cells = (f"`{key.path}`{variable}", key.type, default, key.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def whole(document: str) -> str:
    """The document with a current reference."""
    by_hand, marker, _ = document.partition(MARKER)
    if not marker:
        raise SystemExit(f"{DOCUMENT}: has no marker line: {MARKER.strip()}")
    return by_hand + rendered()


def main() -> int:
    document = DOCUMENT.read_text(encoding="utf-8")
    current = whole(document)
    if "--check" in sys.argv[1:]:
        return int(current != document)
    DOCUMENT.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
