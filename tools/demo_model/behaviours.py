"""What the demo model should do, and a look at whether it does, through any OpenAI-compatible server:
`python -m tools.demo_model.behaviours --url http://127.0.0.1:8000/v1`. Needs the `openai` package, and no torch."""

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass, field

import openai

from .cases import Answer, Case, all_cases

IN_FLIGHT = 16


@dataclass
class Row:
    """One line of the table."""

    kind: str
    passed: int = 0
    total: int = 0
    failures: list[str] = field(default_factory=list[str])


async def evaluate(
    base_url: str, api_key: str, model: str, cases: list[Case] | None = None, temperature: float = 0.0
) -> list[Row]:
    """Ask every case and count, per kind, those that came out as wanted."""
    rows: dict[str, Row] = {}
    gate = asyncio.Semaphore(IN_FLIGHT)
    async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=300) as client:

        async def one(case: Case) -> tuple[Case, list[Answer]]:
            async with gate:
                return case, await ask(client, model, case, temperature)

        for case, answers in await asyncio.gather(*(one(case) for case in (cases or all_cases()))):
            row = rows.setdefault(case.kind, Row(case.kind))
            row.total += 1
            if all(answer.finish in ("stop", "tool_calls") for answer in answers) and _good(case, answers):
                row.passed += 1
            else:
                row.failures.append(f"{case.messages[-1]['content']!r} {case.options or ''} -> {answers[0]}")
    return list(rows.values())


def _good(case: Case, answers: list[Answer]) -> bool:
    try:
        return case.check(answers)
    except ValueError:  # what should be JSON is not
        return False


async def ask(client: openai.AsyncOpenAI, model: str, case: Case, temperature: float) -> list[Answer]:
    options = {"temperature": temperature, "max_tokens": 900} | case.options
    completion = await client.chat.completions.create(model=model, messages=case.messages, **options)  # type: ignore[reportArgumentType]
    return [
        Answer(
            content=choice.message.content or "",
            reasoning=getattr(choice.message, "reasoning", None) or "",
            calls=tuple(
                (call.function.name, call.function.arguments)
                for call in choice.message.tool_calls or ()
                if call.type == "function"
            ),
            finish=choice.finish_reason,
        )
        for choice in completion.choices
    ]


def table(rows: list[Row]) -> str:
    """As Markdown."""
    total = Row("all", sum(row.passed for row in rows), sum(row.total for row in rows))
    lines = [f"| {row.kind} | {row.passed}/{row.total} | {row.passed / row.total:.0%} |" for row in [*rows, total]]
    return "\n".join(["| behaviour | passed | share |", "|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.behaviours", description=__doc__)
    parser.add_argument("--url", required=True, help="base URL that ends in /v1")
    parser.add_argument("--model", default="gpt-oss-demo")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--failures", action="store_true", help="show what went wrong")
    options = parser.parse_args()
    key = os.environ.get("OPENAI_API_KEY", "none")
    rows = asyncio.run(evaluate(options.url, key, options.model, temperature=options.temperature))
    print(table(rows))
    if options.failures:
        for row in rows:
            for failure in row.failures:
                print(f"{row.kind}: {failure}", file=sys.stderr)


if __name__ == "__main__":
    main()
