"""`portico moderate TEXT|-`: what policies make of a text, and why; with `--diff`, what a new version would change.

Exit status 0; 1 where something failed, and with `--diff` where a text changes; 2 for wrong use.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from server.commands.replay import Replay, texts_in, visible
from server.config import ConfigError, load
from server.moderation.build import build_matchers
from server.moderation.described import described
from server.moderation.explain import explain
from server.moderation.files import load_policy
from server.moderation.policies import Loaded
from server.moderation.policy import Channel, Direction
from server.moderation.ruleset import Ruleset
from server.moderation.seats import unasked
from server.policies import policy_places

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

CONTEXT = 24  # characters around a match
POLICY = "a name, or a file (with a / or .yaml in it)"


def add_moderate_command(commands: Subparsers) -> None:
    text = "what policies make of a text, and why"
    moderate = commands.add_parser(
        "moderate",
        help=text,
        description=f"Show {text}. Judges are not asked.",
        epilog="Exit status: 0; 1 where something failed, and with --diff where a text changes; 2 for wrong use.",
    )
    moderate.add_argument("text", nargs="?", metavar="TEXT", help="- reads it from standard input")
    moderate.add_argument(
        "--policy", action="append", metavar="NAME|FILE", help=f"{POLICY}; may be repeated; default: moderation.policy"
    )
    moderate.add_argument("--direction", choices=get_args(Direction), default="input", help="request or answer (input)")
    moderate.add_argument("--channel", choices=get_args(Channel), default="content", help="where in it (content)")
    moderate.add_argument(
        "--diff", nargs=2, metavar=("OLD", "NEW"), help=f"show which texts of --file change; each {POLICY}"
    )
    moderate.add_argument(
        "--file", type=Path, metavar="TEXTS", help='with --diff: a text in each line; *.jsonl: {"text": ...} in each'
    )
    moderate.add_argument("--config", type=Path, metavar="FILE", help="the configuration that names policies")
    moderate.add_argument("--json", action="store_true", help="data for programs")
    moderate.set_defaults(run=partial(_run, moderate))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.diff is not None:
        if arguments.file is None or arguments.text is not None or arguments.policy is not None:
            parser.error("--diff OLD NEW takes its texts from --file TEXTS, and no TEXT and no --policy")
        return _diff(arguments)
    if arguments.text is None or arguments.file is not None:
        parser.error("give one TEXT, or - for standard input; --file is for --diff")
    return _explain(arguments)


def _explain(arguments: argparse.Namespace) -> int:
    rulesets = rulesets_of(arguments.policy, arguments.config)
    text = _standard_input() if arguments.text == "-" else arguments.text
    facts = [described(explain(one, text, arguments.direction, arguments.channel), one) for one in rulesets]
    if arguments.json:
        print(json.dumps({"explanations": facts}, indent=2))
    else:
        print("\n".join(line for one in facts for line in lines(text, one)))
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    old, new = rulesets_of(arguments.diff, arguments.config)
    replay = Replay(old, new, arguments.direction, arguments.channel)
    for line, text in texts_in(arguments.file):
        replay.feed(line, text)
    if arguments.json:
        print(json.dumps(replay.facts(), indent=2))
    else:
        print("\n".join(replay.lines()))
    return 1 if replay.changes else 0


def rulesets_of(names: Sequence[str] | None, config: Path | None) -> list[Ruleset]:
    """The policies of these names or files; for None that of the configuration. Raises `ConfigError`."""
    if names is None:
        loaded = policy_places(load(config), unasked).load()
        if loaded.mandatory is None:
            raise ConfigError(f"moderation.policy is not set; name a policy with --policy: {POLICY}{_there(loaded)}")
        return [loaded.mandatory]
    loaded = None if all(map(_is_file, names)) else policy_places(load(config), unasked).load()
    return [_ruleset(name, loaded) for name in names]


def _ruleset(name: str, loaded: Loaded | None) -> Ruleset:
    if loaded is None or _is_file(name):
        return Ruleset(load_policy(Path(name)), build_matchers, unasked)
    if name not in loaded.rulesets:
        raise ConfigError(f"no policy is called {name!r}{_there(loaded)}")
    return loaded.rulesets[name]


def _there(loaded: Loaded) -> str:
    return f"; policies: {', '.join(map(repr, loaded.rulesets))}" if loaded.rulesets else ""


def _is_file(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _standard_input() -> str:
    """Without the new line that an editor or `echo` puts at the end."""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise ConfigError("standard input is not UTF-8 text") from None


def lines(text: str, facts: dict[str, Any]) -> Iterator[str]:
    """For people: of what `described` says about `text`."""
    yield f"{facts['policy']}-{facts['version']}: {facts['verdict']} ({facts['direction']}, {facts['channel']})"
    for match in facts["matches"]:
        yield f"  {match_line(match)}"
        yield f"      {in_context(text, match['start'], match['end'])}"
        if match["normalised"] is not None:
            yield f"      normalised: {visible(match['normalised'])}"
    if facts["more_matches"]:
        yield f"  and {facts['more_matches']} more matches"
    yield from _outcome(text, facts)
    if facts["not_asked"]:
        yield f"  not asked: judges at {', '.join(facts['not_asked'])}"


def _outcome(text: str, facts: dict[str, Any]) -> Iterator[str]:
    leaves = facts["leaves"]
    if leaves is None:
        yield f"  refused: {facts['message']}"
    elif leaves != text:
        yield f"  leaves: {visible(leaves)}"
    else:
        yield "  leaves as it came"
    if leaves is not None and facts["verdict"] == "block":
        yield "  the answer ends there: finish_reason content_filter"


def match_line(match: dict[str, Any]) -> str:
    span = f"{match['start']}-{match['end']}"
    return f"{span}  {match['action']}  {match['rule']} ({match['category']}, {match['tier']})"


def in_context(text: str, start: int, end: int) -> str:
    """The match between »«, and a little of what stands around it."""
    before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
    left, right = "..." if start > CONTEXT else "", "..." if end + CONTEXT < len(text) else ""
    return f"{left}{visible(before)}»{visible(text[start:end])}«{visible(after)}{right}"
