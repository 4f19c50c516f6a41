"""`python -m bench.gpu`: an engine directly and through Portico, side by side, on the host that has the GPU.

    python -m bench.gpu --write                              # starts vLLM with openai/gpt-oss-20b
    python -m bench.gpu --model /models/gpt-oss-120b -- --gpu-memory-utilization=0.95
    python -m bench.gpu --url http://127.0.0.1:8000 --streams 1,8,32

What follows `--` goes to vLLM. Without the model's weights on this machine vLLM runs its real configuration on dummy
weights: the same work per token, text without meaning, asked for through /v1/completions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.answers import Stream
from bench.client import Target
from bench.environments import home, say
from bench.gpu import report
from bench.gpu.engine import Engine, attach, default_python, dummy_weights, find_weights, is_here, start
from bench.gpu.measure import CHAT, COMPLETIONS, Plan, Side, Way, measure, request_body
from bench.measure import wait_answer
from bench.peers import KEY, Running, Served, start_portico_at
from bench.process import StartError

RESULTS = Path(__file__).parent.parent / "RESULTS-gpu.md"


def parse(argv: list[str]) -> argparse.Namespace:
    default = Plan()
    at = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="An engine directly and through Portico.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--url", help="an engine that runs already; its own port, not a gateway's")
    which.add_argument("--start-vllm", action="store_true", help="start one (so it is without --url)")
    parser.add_argument("--api-key", default="none", help="that the engine at --url asks for")
    parser.add_argument("--python", type=Path, help="of the environment with vLLM (the engine that Portico installed)")
    parser.add_argument("--model", default="openai/gpt-oss-20b", help="Hugging Face id or folder (%(default)s)")
    parser.add_argument("--dummy", action="store_true", help="dummy weights although there are real ones")
    parser.add_argument("--streams", default=",".join(map(str, default.streams)), help="at once (%(default)s)")
    parser.add_argument("--max-tokens", type=int, default=default.max_tokens, help="of each stream (%(default)s)")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="of each way (%(default)s)")
    parser.add_argument("--endpoint", choices=["chat", "completions"], help="chat, but for dummy weights")
    parser.add_argument("--gpu", default="", help="the GPU's name, where the engine is on another machine")
    parser.add_argument("--write", action="store_true", help=f"append the table to bench/{RESULTS.name}")
    args = parser.parse_args(argv[:at])
    args.vllm_args = argv[at + 1 :]
    if args.url and args.vllm_args:
        parser.error("flags for vLLM make no sense with --url")
    try:
        args.streams = tuple(int(part) for part in args.streams.split(","))
    except ValueError:
        parser.error("--streams wants numbers separated by commas")
    if min(*args.streams, args.rounds, args.max_tokens, 1) < 1:
        parser.error("--streams, --rounds and --max-tokens must be 1 or more")
    return args


def get_engine(args: argparse.Namespace, stack: ExitStack) -> Engine:
    """Raises StartError."""
    if args.url:
        return attach(args.url, args.api_key)
    python = args.python or default_python()
    weights = None if args.dummy else find_weights(args.model)
    weights = weights or dummy_weights(args.model, python)
    log = home() / "gpu-engine.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting vLLM with {weights.model}{' on dummy weights' if weights.dummy else ''}; its log: {log}")
    engine = start(python, weights, max(args.streams), args.vllm_args, log)
    if engine.process:
        stack.callback(engine.process.stop)
    return engine


def run(engine: Engine, portico: Running, plan: Plan) -> list[Side]:
    """All measurements. Raises StartError when Portico or the engine does not last."""
    ways = (
        Way("direct", Target(engine.base, engine.api_key, plan.path)),
        Way("portico", Target(portico.base, KEY, plan.path), portico.process.pid),
    )
    body = request_body(plan.path, engine.model, 8)
    for way in ways:
        uvloop.run(wait_answer(portico, way.target, body, Stream))
    sides: list[Side] = []
    for streams in plan.streams:
        sides += uvloop.run(measure(ways, streams, engine.model, plan, say))
        portico.process.check()
        if engine.process:
            engine.process.check()
    return sides


def main(argv: list[str] | None = None) -> int:
    args = parse(sys.argv[1:] if argv is None else argv)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portico-bench-")))
        try:
            engine = get_engine(args, stack)
            say(f"engine ready: {engine.model}, vLLM {engine.version}, {engine.base}")
            endpoint = args.endpoint or ("completions" if engine.dummy else "chat")
            plan = Plan(args.streams, args.max_tokens, args.rounds, CHAT if endpoint == "chat" else COMPLETIONS)
            portico = start_portico_at(engine.base, folder, Served(engine.model, engine.context_length, engine.api_key))
            stack.callback(portico.process.stop)
            sides = run(engine, portico, plan)
        except StartError as error:
            say(f"cannot measure: {error}")
            return 1
    here = is_here(engine.base)
    where = args.gpu or (report.gpu() or "" if here else "")
    text = report.section(where, here, engine, portico.version, plan, sides)
    print(text)
    if args.write:
        report.append(RESULTS, text)
        say(f"appended to {RESULTS}")
    return 1 if any(side.errors or not side.tokens for side in sides) else 0


if __name__ == "__main__":
    sys.exit(main())
