"""`portico engine install|run|status|drain|undrain`."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import ValidationError
from rich.console import Console

from server.commands.reload import order
from server.config import Config, ConfigError, Managed, home, load
from server.engines.managed import EngineSetupError, EngineState, EngineSupervisor, Prepared, prepare
from server.engines.managed.hardware import look
from server.engines.managed.install import find
from server.engines.managed.serve import decide
from server.engines.managed.state import EngineRecord, read_record

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


def add_engine_commands(subparsers: Subparsers) -> None:
    """Add `engine` and its commands; each sets `run`, a function of the arguments to the exit status."""
    engine = subparsers.add_parser("engine", help="install, run or look at the managed engine; drain any")
    commands = engine.add_subparsers(required=True, metavar="install|run|status|drain|undrain")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=text)
        parser.set_defaults(run=run)
        parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file")
        return parser

    install = command("install", _install, "Install the engine and the demo model under $PORTICO_HOME.")
    run = command("run", _run, "Run the engine in the foreground, without the gateway.")
    status = command("status", _status, "Tell what is installed and what runs.")
    for parser in (install, run, status):
        parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="in place of the configured one")
        parser.add_argument(
            "--model", metavar="M", help="auto, demo, a preset or a folder, in place of the configured one"
        )
    for name, text in (
        ("drain", "Give an engine no more calls; those that it has go on."),
        ("undrain", "Give a drained engine calls again."),
    ):
        command(name, partial(_drain, name), text).add_argument("engine", metavar="NAME", help="as in `engines`")
    run.add_argument("--port", type=int, metavar="P", help="in place of the configured one; 0 takes a free one")
    status.add_argument("--json", action="store_true", help="as JSON on standard output")


def _install(args: argparse.Namespace) -> int:
    console = Console(stderr=True)
    try:
        prepared = prepare(_managed(args), home(), console)
    except (EngineSetupError, ConfigError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail("Interrupted; run it again to go on.")
    print(prepared.installed.python.parent.parent)
    return 0


def _run(args: argparse.Namespace) -> int:
    console = Console(stderr=True)
    try:
        managed = _managed(args)
        prepared = prepare(managed, home(), console)
        return asyncio.run(_serve(prepared, console))
    except (EngineSetupError, ConfigError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 0


async def _serve(prepared: Prepared, console: Console) -> int:
    """Run the engine until SIGINT or SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    key = f"sk-{secrets.token_urlsafe(24)}"
    with console.status("engine starting") as live:

        def show(state: EngineState) -> None:
            live.update(_describe(state))
            if state.state in ("down", "failed"):
                console.print(_describe(state), markup=False, highlight=False, soft_wrap=True)

        engine = EngineSupervisor(
            prepared.plan, prepared.installed, prepared.log_path, key, show, record_path=prepared.record_path
        )
        await engine.start()
        try:
            waiter = asyncio.create_task(engine.wait_ready())
            stopper = asyncio.create_task(ended.wait())
            await asyncio.wait((waiter, stopper), return_when=asyncio.FIRST_COMPLETED)
            if not ended.is_set():
                await waiter
                print(f"{engine.base_url}\nAPI key: {key}", flush=True)
                live.stop()
                console.print(
                    f"{prepared.plan.model_id} is ready; Ctrl-C ends it. Log: {prepared.log_path}", soft_wrap=True
                )
                await ended.wait()
            waiter.cancel()
        finally:
            await engine.stop()
    return 0


def _status(args: argparse.Namespace) -> int:
    record = read_record(home() / "engine.json")
    plan, why_not = None, ""
    try:
        plan = decide(_managed(args), look(home()))
    except ConfigError as error:
        return _fail(error)
    except EngineSetupError as error:  # such as memory that the running engine itself takes
        why_not = str(error)
    installed = find(plan.kind, home(), demo=plan.demo) if plan else None
    where = str(installed.python.parent.parent) if installed else None
    if args.json:
        facts = {
            "chosen": {"kind": plan.kind, "model": plan.model_id, "reason": plan.reason} if plan else None,
            "problem": why_not or None,
            "installed": where,
            "running": msgspec.to_builtins(record) if record else None,
        }
        print(msgspec.json.encode(facts).decode())
        return 0
    print(f"chosen:    {plan.reason if plan else why_not}")
    print(f"installed: {where or 'no (portico engine install)'}")
    print(f"running:   {_describe_record(record) if record else 'no'}")
    return 0


def _drain(name: str, args: argparse.Namespace) -> int:
    return order({"command": name, "engine": args.engine}, args.config)


def _describe(state: EngineState) -> str:
    if state.state == "starting":
        return f"engine loading ... {state.seconds:.0f} s ({state.phase})"
    if state.state in ("down", "failed"):
        return f"engine {state.state}: {state.detail}; next start in {state.retry_after_s:.0f} s"
    return f"engine {state.state}"


def _describe_record(record: EngineRecord) -> str:
    since = max(0, time.time() - record.since)
    detail = f" ({record.detail})" if record.detail else ""
    return f"{record.model} on port {record.port}, {record.state} for {since:.0f} s{detail}; log {record.log}"


def _managed(args: argparse.Namespace) -> Managed:
    """The configured managed engine with what the command line says."""
    config: Config = load(args.config)
    configured = next((engine.managed for engine in config.engines.values() if engine.managed), Managed())
    wishes = {name: getattr(args, name, None) for name in ("device", "model", "port")}
    try:
        return Managed.model_validate(
            configured.model_dump() | {name: value for name, value in wishes.items() if value is not None}
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"--{problem['loc'][0]}: {problem['msg']}") from None


def _fail(error: object) -> int:
    print(f"portico: {error}", file=sys.stderr)
    return 1
