"""An explanation as facts: what `portico moderate --json` prints and the administration answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from server.moderation.decisions import SEVERITY
from server.moderation.explain import Because, Explanation
from server.moderation.jury import Finding, Seat
from server.moderation.normalise import SMALL_CAPITALS, Kind, Unit, normalise
from server.moderation.ruleset import Ruleset

MOST_DESCRIBED = 1000  # matches; more are counted

Literals = Callable[[str], Collection[str]]
"""Of a rule, by its id: in folded case."""


def described(explanation: Explanation, ruleset: Ruleset) -> dict[str, Any]:
    """`ruleset` is the one that it is of. `leaves` is a text: explanations of several parts are not described."""
    literals = literals_of(ruleset, explanation)
    decoded = bool(ruleset.policy.file.decode.encodings)
    leaves = explanation.leaves
    return {
        "policy": explanation.policy,
        "version": explanation.version,
        "hash": explanation.hash,
        "direction": explanation.direction,
        "channel": explanation.channel,
        "verdict": explanation.verdict,
        "matches": [_match(one, explanation, literals, decoded) for one in explanation.matches[:MOST_DESCRIBED]],
        "more_matches": max(0, len(explanation.matches) - MOST_DESCRIBED),
        "leaves": None if leaves is None else "".join(leaves),
        "message": explanation.message,
        "not_asked": list(explanation.not_asked),
    }


def found_by(seat: Seat, findings: Iterable[Finding]) -> dict[str, Any]:
    """What one judge said. Of several findings the severest decides; spans are in the text that it was shown."""
    mine = [one for one in findings if one.seat is seat]
    worst = max(mine, key=lambda one: SEVERITY[one.action], default=None)
    return {
        "judge": seat.name,
        "tier": seat.tier,
        "verdict": "pass" if worst is None else worst.action,
        "category": None if worst is None else worst.category,
        "scores": {name: score for one in mine for name, score in one.scores.items()},
        "spans": [{"category": span.label, "start": span.start, "end": span.end} for one in mine for span in one.spans],
    }


def literals_of(ruleset: Ruleset, explanation: Explanation) -> Literals:
    """Read once for each rule that matched."""
    matched = {one.rule for one in explanation.matches}
    known = {
        rule.id: frozenset(text.casefold() for text in ruleset.policy.literals(rule))
        for rule in ruleset.rules
        if rule.id in matched
    }
    return lambda rule: known.get(rule, frozenset())


def _match(one: Because, explanation: Explanation, literals: Literals, decoded: bool) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "category": one.category,
        "action": one.action,
        "tier": one.tier,
        "start": one.start,
        "end": one.end,
        "text": one.text,
        "normalised": normalised(one, explanation.channel == "tool_arguments", literals, decoded),
    }


def normalised(one: Because, raw: bool, literals: Literals, decoded: bool = False) -> str | None:
    """A matched text as literals are compared with it; None where it says nothing new, or for no literal.

    Of letters that are written in one another's stead, digits and symbols beside letters are shown as the letters
    that they stand for; i and l only where nothing else differs. `raw`: the text is JSON. `decoded`: perhaps what it
    encodes was found.
    """
    known = literals(one.rule)
    written = _within(one.text) if raw else one.text
    if not known or (written == one.text and written.casefold() in known):
        return None
    units = [unit for unit, _ in normalise(written)]
    if decoded and _letters(units) not in {_letters([unit for unit, _ in normalise(text)]) for text in known}:
        return None
    shown = "".join(_readable(units))
    if shown == written.casefold() and written == one.text:
        shown = "".join([unit.char for unit in units])
    return None if shown == one.text.casefold() else shown


def _letters(units: list[Unit]) -> str:
    return "".join([unit.char for unit in units if unit.kind < Kind.SYMBOL])


def _readable(units: list[Unit]) -> list[str]:
    """Digits, symbols and Cyrillic letters as the letters that they stand for, in words that have letters."""
    out: list[str] = []
    word: list[Unit] = []
    for unit in [*units, None]:
        if unit is not None and unit.kind <= Kind.SYMBOL:
            word.append(unit)
            continue
        spelled = any(one.plain.isalpha() for one in word)
        foreign = [not one.plain.isalpha() or one.plain in SMALL_CAPITALS for one in word]
        out += [one.char if spelled and other else one.plain for one, other in zip(word, foreign, strict=True)]
        word.clear()
        if unit is not None:
            out.append(unit.char)
    return out


def _within(raw: str) -> str:
    r"""The text within JSON text, as `\u0062` is b; a piece that cannot be read stays as it is."""
    try:
        return msgspec.json.decode(f'"{raw}"', type=str)
    except msgspec.DecodeError:
        return raw
