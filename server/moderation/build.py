"""The matchers of a policy's rules."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from server.config import ConfigError
from server.moderation.detectors import DETECTORS
from server.moderation.forms import Literal
from server.moderation.gitleaks import BadRules, load_gitleaks
from server.moderation.literals import Literals
from server.moderation.matches import Matcher
from server.moderation.normalise import Kind, normalise
from server.moderation.patterns import Pattern, PatternMatcher
from server.moderation.policy import Policy, Rule
from server.moderation.regex import BadRegex, parse
from server.moderation.secrets import SECRETS

NAMED: Mapping[str, Sequence[Pattern]] = {
    **{name: (pattern,) for name, pattern in (DETECTORS | SECRETS).items()},
    "private_key": (SECRETS["private_key"], SECRETS["private_key_end"]),
    "private_key_block": (SECRETS["private_key_block"], SECRETS["private_key_end"]),
    "secrets": tuple(pattern for name, pattern in SECRETS.items() if name != "private_key_block"),
}
"""What rules can name: each detector, and `secrets` for all of those. A long private key is found by both its ends."""
log = logging.getLogger("portico")


def build_matchers(policy: Policy, rules: Sequence[int]) -> list[tuple[Matcher, Sequence[int]]]:
    """Of some of a policy's rules, by their indexes. Raises `ConfigError`, one line that names the rule."""
    _refuse_what_is_missing(policy)
    parts: list[tuple[Matcher, Sequence[int]]] = []
    literals = [(one, index) for index in rules for one in _literals(policy, policy.file.rules[index])]
    if literals:
        parts.append((Literals([one for one, _ in literals]), [index for _, index in literals]))
    patterns = [(one, index) for index in rules for one in _patterns(policy, policy.file.rules[index])]
    if patterns:
        parts.append((PatternMatcher([one for one, _ in patterns]), [index for _, index in patterns]))
    return parts


def _refuse_what_is_missing(policy: Policy) -> None:
    """Nobody shall believe that something is looked at which is not."""
    mode = policy.file.stream.mode
    if mode != "full":
        raise ConfigError(f"policy {policy.name}: stream.mode: {mode} is not available in this version")


def _literals(policy: Policy, rule: Rule) -> Iterator[Literal]:
    for text in policy.literals(rule):
        if not any(unit.kind < Kind.SYMBOL for unit, _ in normalise(text)):
            raise ConfigError(f"policy {policy.name}: rule {rule.id}: a literal has no letter and no digit")
        yield Literal(text, boundaries=rule.words)


def _patterns(policy: Policy, rule: Rule) -> Iterator[Pattern]:
    where = f"policy {policy.name}: rule {rule.id}"
    for name in rule.detectors:
        if name not in NAMED:
            raise ConfigError(f"{where}: there is no detector {name}; there are {', '.join(NAMED)}")
        yield from NAMED[name]
    if rule.gitleaks_file is not None:
        yield from _gitleaks(policy.text(rule.gitleaks_file), f"{where}: {rule.gitleaks_file}")
    for text in rule.regex:
        try:
            yield Pattern(parse(text, ignore_case=not rule.case_sensitive))
        except BadRegex as error:
            raise ConfigError(f"{where}: regex: {error}") from None


def _gitleaks(text: str, where: str) -> Iterator[Pattern]:
    try:
        file = load_gitleaks(text)
    except BadRules as error:
        raise ConfigError(f"{where}: {error}") from None
    for warning in file.warnings:
        log.warning("%s: %s", where, warning)
    for rule in file.rules:
        yield rule.pattern
