"""POST /v1/moderations: what the policies of this server say of texts, in OpenAI's shape.

Texts are looked at as the content of a request would be, by rules and by judges. See `moderation/results.py` for what
scores mean. A call counts to the limits on requests of its key and project, and is a usage record without tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from random import getrandbits
from typing import Any, NamedTuple, Protocol

from fastapi import APIRouter, Request, Response

from server.api.caller import caller
from server.api.http import pairs, rate_headers
from server.api.plain import read_body
from server.api.recorded import Ended, recorded
from server.api.turns import MOST_CHARACTERS, Turns
from server.auth.keys import KeyRing
from server.call import Call, Key, ServedModel
from server.config import Model, Server
from server.errors import GatewayError, InvalidType, InvalidValue, UnsupportedValue
from server.moderation.explain import Explanation, Steps, explaining
from server.moderation.jury import Judged, ask, asked, check_judged
from server.moderation.passage import JOINT
from server.moderation.policies import prepare
from server.moderation.results import looked_for, model_of, result
from server.moderation.ruleset import Ruleset
from server.openai.chat_request import ImagePart
from server.openai.moderation_request import InputText, ModerationRequest
from server.openai.parse import MODERATION, parse

ENDPOINT = "moderations"
SERVED = ServedModel(ENDPOINT, Model(engines=("none",)), 0)
AT_ONCE = 8  # texts of one request that judges are asked about at the same time


class Policies(Protocol):
    def of_key(self, key: Key) -> Sequence[Ruleset]: ...

    def by_model(self, model: str | None, applying: Sequence[Ruleset], param: str) -> Sequence[Ruleset]: ...


class Limits(Protocol):
    def counted(self, call: Call) -> AbstractAsyncContextManager[None]:
        """A call that counts as a request and uses no tokens. Raises `GatewayError`."""
        ...


class Scored(NamedTuple):
    """What judges found in a text; `silent` ones gave no verdict and let it pass."""

    scores: dict[str, float]
    silent: frozenset[str]


def moderation_routes(
    keys: KeyRing, policies: Policies, limits: Limits, judged: Judged, settings: Server, ended: Ended
) -> APIRouter:
    """`judged` hears how long each question to a judge took, `ended` of calls that have ended."""
    router = APIRouter()
    turns = Turns()

    @router.post("/v1/moderations", include_in_schema=False)  # `describe` does it
    async def moderations(request: Request, response: Response) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        key = await caller(request, keys, ENDPOINT)
        wanted = parse(MODERATION, await read_body(request, settings), settings.max_json_depth)
        texts = texts_of(wanted)
        rulesets = policies.by_model(wanted.model, policies.of_key(key), "model")
        await prepare(rulesets)
        call = Call(
            request.scope["state"]["request_id"], ENDPOINT, key, SERVED, wanted, stream=False, include_usage=False
        )
        with recorded(call, ended):
            async with limits.counted(call):
                size = sum(len(part) for parts in texts for part in parts)
                found = await turns.take(_look(rulesets, texts), size)
                scored = await _judged(rulesets, texts, found, judged)
        if call.rate is not None:
            response.headers.update(
                {name.decode(): value.decode() for name, value in pairs(rate_headers(call.rate, None))}
            )
        return answer(rulesets, found, scored)

    return router


def texts_of(asked: ModerationRequest) -> list[list[str]]:
    """The parts of each text. Raises `InvalidRequest`."""
    given = asked.input
    if isinstance(given, str):
        texts = [[given]]
    elif isinstance(given[0], str):
        texts = [[_string(one, index)] for index, one in enumerate(given)]
    else:
        texts = [[_part(one, index) for index, one in enumerate(given)]]
    if sum(len(part) for parts in texts for part in parts) > MOST_CHARACTERS:
        raise InvalidValue(
            f"The input has more than {MOST_CHARACTERS} characters. Send it in several requests.", param="input"
        )
    return texts


def _string(one: str | InputText | ImagePart, index: int) -> str:
    if isinstance(one, str):
        return one
    raise _mixed(index)


def _part(one: str | InputText | ImagePart, index: int) -> str:
    if isinstance(one, ImagePart):
        raise UnsupportedValue(
            f"'input[{index}]' is an image: the policies of this server look at texts. Send its text alone.",
            param=f"input[{index}]",
        )
    if isinstance(one, str):
        raise _mixed(index)
    return one.text


def _mixed(index: int) -> InvalidType:
    return InvalidType("Invalid type for 'input': send strings, or parts, and not both.", param=f"input[{index}]")


def _look(rulesets: Sequence[Ruleset], texts: Sequence[Sequence[str]]) -> Steps[list[list[Explanation]]]:
    """Each text under each policy."""
    out: list[list[Explanation]] = []
    for parts in texts:
        under: list[Explanation] = []
        for ruleset in rulesets:
            under.append((yield from explaining(ruleset, parts, "input", "content")))
        out.append(under)
        yield
    return out


async def _judged(
    rulesets: Sequence[Ruleset],
    texts: Sequence[Sequence[str]],
    found: Sequence[Sequence[Explanation]],
    judged: Judged,
) -> list[Scored]:
    """What judges say of each text. Raises `ModerationUnavailable`."""
    if not any(one.judges("input") for one in rulesets):
        return [Scored({}, frozenset())] * len(texts)
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(parts: Sequence[str], under: Sequence[Explanation]) -> Scored:
        async with turn:
            return await _asked(rulesets, JOINT.join(parts), under, judged)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*each)) for each in zip(texts, found, strict=True)]
    except BaseExceptionGroup as errors:
        raise next((one for one in errors.exceptions if isinstance(one, GatewayError)), errors) from None
    return [task.result() for task in tasks]


async def _asked(rulesets: Sequence[Ruleset], text: str, under: Sequence[Explanation], judged: Judged) -> Scored:
    scores: dict[str, float] = {}
    silent: set[str] = set()
    for ruleset, explanation in zip(rulesets, under, strict=True):
        seats = asked(ruleset.seats, "input", suspicious=bool(explanation.matches))
        findings = await ask(seats, "input", text, judged=judged)
        check_judged(findings)
        silent |= {one.seat.name for one in findings if one.failed}
        for finding in findings:
            for name, score in finding.scores.items() if finding.action != "shadow" else ():
                scores[name] = max(score, scores.get(name, 0.0))
    return Scored(scores, frozenset(silent))


def answer(
    rulesets: Sequence[Ruleset], texts: Sequence[Sequence[Explanation]], judged: Sequence[Scored]
) -> dict[str, Any]:
    return {
        "id": f"modr-{getrandbits(96):024x}",
        "model": model_of(rulesets),
        "results": [
            result(looked_for(rulesets, "input", silent=by_judges.silent), by_judges.scores | _by_rules(under))
            for under, by_judges in zip(texts, judged, strict=True)
        ],
    }


def _by_rules(under: Sequence[Explanation]) -> dict[str, float]:
    return {one.category: 1.0 for each in under for one in each.matches if one.action != "shadow"}
