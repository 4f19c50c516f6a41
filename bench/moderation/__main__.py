"""`python -m bench.moderation`: what policies find, and what they find that is not there.

Over the own set in tests/data/moderation, or a public one that the user has: nothing is fetched. Precision, recall and
false positives per category and tier, each with a 95 % interval: over a few hundred texts a figure
without one says little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from bench.environments import say
from bench.moderation.judge import Verdicts, ask, read_verdicts
from bench.moderation.report import Said, evasions, harmless, quality
from bench.moderation.rules import Rules
from bench.moderation.sets import FORMATS, SetError, Text, read
from bench.results import RESULTS, write_section
from server.config import ConfigError
from server.moderation.policy import JudgeUse

ROOT = Path(__file__).parent.parent.parent
OWN = ROOT / "tests" / "data" / "moderation"
SHIPPED = tuple(ROOT / "config" / "policies" / f"{name}.yaml" for name in ("default", "strict", "privacy"))
HALVES = {"tuned": "the half that rules may be changed for", "held_out": "the half that no rule was changed for"}
ADAPTERS = get_args(JudgeUse.model_fields["adapter"].annotation)

JudgeSet = Callable[[Sequence[Text]], Verdicts]


def found_by(rules: Rules, texts: Sequence[Text]) -> Said:
    return {one.id: {finding.category for finding in rules.find(one.text)} for one in texts}


def own_set(judge: JudgeSet | None) -> Iterator[str]:
    """The corpus' own policy on both halves, then each shipped one."""
    for half, what in HALVES.items():
        every = read(OWN / f"{half}.jsonl", "jsonl")
        verdicts = judge(every) if judge is not None else None
        for path in (OWN / "corpus.yaml", *SHIPPED):
            rules = Rules(path)
            texts = rules.labelled(every)
            found = found_by(rules, texts)
            yield f"## Own set, {half} ({what}), policy {rules.file.name}: {len(texts)} texts"
            yield from _quality(texts, {"rules": found}, verdicts)
            yield harmless(texts, found)
            if rules.file.name == "corpus":
                yield evasions(texts, rules)


def public_set(path: Path, form: str, policies: Sequence[Path], judge: JudgeSet | None) -> Iterator[str]:
    texts = read(path, form)
    tiers = {f"rules, {rules.file.name}": found_by(rules, texts) for rules in map(Rules, policies)}
    yield f"## {form}: {path.name}, {len(texts):,} texts"
    yield from _quality(texts, tiers, judge(texts) if judge is not None else None)


def _quality(texts: Sequence[Text], tiers: dict[str, Said], verdicts: Verdicts | None) -> Iterator[str]:
    if verdicts is None:
        yield quality(texts, tiers)
        return
    yield quality(texts, {**tiers, "judge": verdicts.said})
    if verdicts.failures:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in verdicts.failures.most_common())
        yield f"(!) Texts without a verdict are not counted for the judge: {reasons}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.moderation", description="What policies find.")
    parser.add_argument("--set", type=Path, help="a file of labelled texts; without it, the own set")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="of --set (jsonl: that of the own set)")
    parser.add_argument("--policy", type=Path, action="append", help="for --set; may be given several times")
    parser.add_argument("--verdicts", type=Path, help="a judge's, as lines of JSON with id and categories")
    parser.add_argument("--judge", metavar="URL", help="ask a judge there: the base URL of an engine, with its /v1")
    parser.add_argument("--model", help="its name there")
    parser.add_argument("--adapter", choices=ADAPTERS, default="qwen3guard", help="how it is asked and read")
    parser.add_argument("--policy-text", type=Path, help="the written policy, for safeguard")
    parser.add_argument("--categories", default="", help="those of the written policy, separated by commas")
    parser.add_argument("--api-key", help="of the judge's engine")
    parser.add_argument("--write", action="store_true", help=f"keep the tables in bench/{RESULTS.name}")
    args = parser.parse_args()
    if args.judge and (not args.model or args.verdicts):
        parser.error("--judge needs --model, and no --verdicts")
    if (args.adapter == "safeguard") != (args.policy_text is not None):
        parser.error("--policy-text is what safeguard needs, and no other adapter takes one")
    return args


def _judge(args: argparse.Namespace) -> JudgeSet | None:
    if args.verdicts:
        return lambda _: read_verdicts(args.verdicts)
    if not args.judge:
        return None
    use = JudgeUse(
        engine="judge",
        model=args.model,
        adapter=args.adapter,
        policy_text=args.policy_text,
        categories=tuple(filter(None, args.categories.split(","))),
        timeout_s=60,
    )
    return lambda texts: ask(args.judge, args.api_key, use, args.policy_text, texts)


def main() -> int:
    args = _arguments()
    try:
        if args.set is None:
            parts = list(own_set(_judge(args)))
        else:
            parts = list(public_set(args.set, args.format, args.policy or SHIPPED[:2], _judge(args)))
    except (SetError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    text = "\n\n".join(parts)
    print(text)
    if args.write:
        name = "the own set" if args.set is None else args.format
        write_section(f"Moderation: {name}", f"Made by `python -m bench.moderation --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
