"""What an engine by URL is, and whether it serves what the configuration says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from server.commands.doctor.fetch import Unreachable, fetch
from server.commands.doctor.verdict import Verdict, fail, ok, warn
from server.config import Engine, Model
from server.engines.managed.recipe import VLLM_VERSIONS

SHOWN = 8  # names of models in one line
TESTED = min(VLLM_VERSIONS.values())


class Make(NamedTuple):
    """How an engine tells its version: where, and under which key."""

    name: str
    path: str
    key: str


MAKES: Mapping[str | None, Make] = {  # by `owned_by` in its list of models
    "vllm": Make("vLLM", "/version", "version"),
    "sglang": Make("SGLang", "/get_server_info", "version"),
    "library": Make("Ollama", "/api/version", "version"),
    "llamacpp": Make("llama.cpp", "/props", "build_info"),
    "organization_owner": Make("LM Studio", "", ""),
}


class Listed(msgspec.Struct):
    """A model of the list; `max_model_len` is vLLM's and SGLang's."""

    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class _List(msgspec.Struct):
    data: list[Listed]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """`problem`: why it gives no answer. `models`: longest context by name, None where it does not tell."""

    place: str
    problem: str = ""
    status: int = 200
    models: Mapping[str, int | None] | None = None
    make: str = ""
    version: str = ""
    ahead_s: float | None = None


def judge_engine(name: str, engine: Engine, facts: EngineFacts, models: Mapping[str, Model]) -> Iterator[Verdict]:
    """`models`: those of the configuration that it is to serve, by their public names."""
    unusable = _unusable(name, facts)
    if unusable is not None:
        yield unusable
        return
    what = f"{facts.make} {facts.version}".strip() or "an engine of a make that is not known here"
    yield ok("engine", f"engine {name}: {what} at {facts.place}")
    if facts.make == "vLLM" and _older(facts.version, TESTED):
        yield warn(
            "engine", f"engine {name}: vLLM {facts.version} is older than what was tested ({TESTED})", "update it"
        )
    if engine.vllm and facts.make not in ("vLLM", ""):
        yield warn(
            "engine",
            f"engine {name} is {facts.make} and may refuse priorities and salts, which are vLLM's",
            f"take engines.{name}.vllm out",
        )
    for public, model in models.items():
        yield from judge_model(f"engine {name}", public, model, facts.models or {})


def _unusable(name: str, facts: EngineFacts) -> Verdict | None:
    where = f"engine {name} at {facts.place}"
    if facts.problem:
        return fail("engine", f"{where}: {facts.problem}", f"start it, or correct engines.{name}.url")
    if facts.status in (401, 403):
        return fail("engine", f"{where} refuses the key (status {facts.status})", f"correct engines.{name}.api_key")
    if facts.status != 200:
        way_out = f"engines.{name}.url mostly ends in /v1; is it ready?"
        return fail("engine", f"{where} answers {facts.status} to the list of its models", way_out)
    if facts.models is None:
        return fail("engine", f"{where} gives no list of models", f"correct engines.{name}.url, it is no engine's")
    return None


def judge_model(who: str, public: str, model: Model, served: Mapping[str, int | None]) -> Iterator[Verdict]:
    """Whether it serves `public` under the name that it gets, and so long a context."""
    wanted = model.engine_model or public
    if wanted not in served:
        known = ", ".join(sorted(served)[:SHOWN]) or "none"
        yield fail(
            "model",
            f"{who} does not serve {wanted}, which models.{public} asks it for",
            f"set models.{public}.engine_model to what it serves: {known}",
        )
        return
    longest = served[wanted]
    if longest is None or model.context_length <= longest:
        told = "" if longest is None else f", with a context of {longest} tokens"
        yield ok("model", f"{who} serves {public}{told}")
    else:
        yield warn(
            "model",
            f"{who} takes {longest} tokens and models.{public}.context_length promises {model.context_length}",
            f"set models.{public}.context_length: {longest}, or start the engine with a longer context",
        )


async def probe_engine(url: str, api_key: str | None) -> EngineFacts:
    """Asks for its models and its version."""
    parts = urlsplit(url)
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = await fetch(f"{url.rstrip('/')}/models", headers)
    except Unreachable as error:
        return EngineFacts(parts.netloc, str(error))
    listed = listed_in(answer.body) if answer.status == 200 else None
    make = next((MAKES[one.owned_by] for one in listed or () if one.owned_by in MAKES), None)
    return EngineFacts(
        place=parts.netloc,
        status=answer.status,
        models=None if listed is None else {one.id: one.max_model_len for one in listed},
        make=make.name if make else "",
        version=await _version(parts._replace(path="").geturl(), make, headers) if make and make.path else "",
        ahead_s=answer.ahead_s,
    )


def listed_in(body: bytes) -> list[Listed] | None:
    """Of OpenAI's list of models; None where it is none."""
    try:
        return msgspec.json.decode(body, type=_List).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _version(root: str, make: Make, headers: Mapping[str, str]) -> str:
    try:
        told = msgspec.json.decode((await fetch(f"{root}{make.path}", headers)).body, type=dict[str, Any])[make.key]
    except (Unreachable, msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return ""
    return told if isinstance(told, str) and re.fullmatch(r"[\w.+-]{1,40}", told) else ""


def _older(version: str, than: str) -> bool:
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < tuple(int(part) for part in than.split(".")[:2])
