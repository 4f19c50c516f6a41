"""Rule files in the format of gitleaks: id, description, regex, secretGroup, entropy, allowlists.

What a file may say and what becomes of it:

    regex                 as gitleaks reads it, with a bound where it has none (`regex.parse_capped`)
    entropy, secretGroup  as gitleaks has them: more than so many bits per character, of the group
    keywords              not needed: they only save gitleaks a search
    allowlists            regexes (of the secret or the match) and stopwords; paths and commits never apply to a prompt
    path, tags, extend    not used; a rule that is bound to a path is used everywhere, one of only a path not at all
    required              a rule with it is left out: it wants other matches near by

Everything that is not as the file says is told in a warning of one line, a rule that is left out too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from server.moderation.entropy import Exceptions, Secret
from server.moderation.expressions import Expression
from server.moderation.patterns import Pattern
from server.moderation.regex import parse_capped

_Table = dict[str, Any]


class BadRules(ValueError):
    """A file that cannot be used; the text is the reason, one line."""


@dataclass(frozen=True, slots=True)
class SecretRule:
    id: str
    description: str
    pattern: Pattern


@dataclass(slots=True)
class RuleFile:
    rules: list[SecretRule] = field(default_factory=list[SecretRule])
    warnings: list[str] = field(default_factory=list[str])


def load_gitleaks(text: str) -> RuleFile:
    """Read the text of a rule file. Raise BadRules if it is no TOML, has no rule that can be used, or an id twice."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRules(f"not TOML: {error}") from error
    file = RuleFile()
    if "extend" in document:
        file.warnings.append("extend: not read; only the rules of this file are used")
    everywhere = list(_exceptions(document, "the file", file.warnings))
    seen: set[str] = set()
    for number, table in enumerate(_tables(document, "rules"), 1):
        name = table.get("id")
        if not isinstance(name, str) or not name:
            raise BadRules(f"rule {number} has no id")
        if name in seen:
            raise BadRules(f"rule {number} has the id of another one, {name}")
        seen.add(name)
        if (rule := _rule(name, table, everywhere, file.warnings)) is not None:
            file.rules.append(rule)
    if not file.rules:
        raise BadRules("it holds no rule that can be used" + "".join(f"; {one}" for one in file.warnings[:3]))
    return file


def _rule(name: str, table: _Table, everywhere: list[Exceptions], warnings: list[str]) -> SecretRule | None:
    source = table.get("regex")
    reason = _left_out(table)
    if not isinstance(source, str) or reason:
        warnings.append(f"{name}: left out, {reason or 'its regex is no text'}")
        return None
    if "path" in table:
        warnings.append(f"{name}: path is not used; the rule holds everywhere")
    group, entropy = table.get("secretGroup", 0), table.get("entropy", 0)
    if not isinstance(group, int) or not isinstance(entropy, int | float):
        raise BadRules(f"{name}: secretGroup is a whole number, entropy a number")
    exceptions = [*everywhere, *_exceptions(table, name, warnings)]
    try:
        regex, cap = parse_capped(source)
        validator = Secret(regex.source, group=group, entropy=entropy, exceptions=exceptions)
    except ValueError as error:
        warnings.append(f"{name}: left out, {error}")
        return None
    if group > validator.groups:
        raise BadRules(f"{name}: secretGroup is {group}, and its regex has {validator.groups} groups")
    if cap is not None:
        warnings.append(f"{name}: repetitions without a bound have one of {cap} more than the least")
    plain = not entropy and not exceptions
    return SecretRule(name, str(table.get("description", "")), Pattern(regex, None if plain else validator))


def _left_out(table: _Table) -> str | None:
    if "required" in table:
        return "it wants other matches near by (required)"
    if "regex" not in table:
        return "it has no regex" + (", only a path" if "path" in table else "")
    return None


def _exceptions(table: _Table, name: str, warnings: list[str]) -> Iterator[Exceptions]:
    """What the allowlists of a rule, or of the whole file, let pass; `allowlist` is the older form."""
    for one in (*_tables(table, "allowlists"), *_tables(table, "allowlist")):
        every = str(one.get("condition", "OR")).upper() in {"AND", "&&"}
        if every and ("paths" in one or "commits" in one):
            continue  # it never applies: a prompt has neither
        if "targetRules" in one:
            warnings.append(f"{name}: an allowlist for some rules only (targetRules) is not used")
            continue
        if one.get("regexTarget") == "line":
            warnings.append(f"{name}: an allowlist that looks at the line is not used")
            continue
        if one.get("regexes") or one.get("stopwords"):
            yield Exceptions(
                tuple(word.lower() for word in _texts(one, "stopwords", name)),
                tuple(_expression(text, name) for text in _texts(one, "regexes", name)),
                whole=one.get("regexTarget") == "match",
                every=every,
            )


def _expression(source: str, name: str) -> Expression:
    """It is asked of candidates only, which are bounded: it need not be."""
    try:
        return Expression(source, longest=False)
    except ValueError as error:
        raise BadRules(f"{name}: an expression of an allowlist cannot be read by RE2") from error


def _tables(table: _Table, key: str) -> list[_Table]:
    """The tables under a key: an array of them, or a single one."""
    value = table.get(key, [])
    several: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in several):
        raise BadRules(f"{key} is no table")
    return several


def _texts(table: _Table, key: str, name: str) -> list[str]:
    value = table.get(key, [])
    several: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in several):
        raise BadRules(f"{name}: {key} is no list of texts")
    return several
