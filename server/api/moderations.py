"""POST /v1/moderations: what the policies of this server say of texts, in OpenAI's shape.

Texts are looked at as the content of a request would be. Scores are 0 or 1, as rules know nothing between; rules in
shadow count nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import getrandbits
from typing import Any, Protocol

from fastapi import APIRouter, Request

from server.api.calls import check_endpoint
from server.api.http import check_content
from server.api.plain import read_body
from server.api.turns import MOST_CHARACTERS, Turns
from server.auth.keys import KeyRing
from server.call import Key
from server.config import Server
from server.errors import InvalidType, InvalidValue, ModelNotFound, UnsupportedValue
from server.moderation.explain import BIDI, Explanation, Steps, explaining
from server.moderation.policies import Loaded
from server.moderation.policy import OPENAI_CATEGORIES
from server.moderation.ruleset import Ruleset
from server.openai.chat_request import ImagePart
from server.openai.moderation_request import InputText, ModerationRequest
from server.openai.parse import MODERATION, parse

ENDPOINT = "moderations"
OPENAI_MODELS = ("omni-moderation-", "text-moderation-")
"""How the names of OpenAI's own models begin: they mean what applies anyhow, so that programs need no change."""


class Policies(Protocol):
    def now(self) -> Loaded: ...

    def of_key(self, key: Key) -> Sequence[Ruleset]: ...


def moderation_routes(keys: KeyRing, policies: Policies, settings: Server) -> APIRouter:
    router = APIRouter()
    turns = Turns()

    @router.post("/v1/moderations", include_in_schema=False)  # `describe` does it
    async def moderations(request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        headers = dict[bytes, bytes](request.scope["headers"])
        key = await keys.identify(headers)
        check_endpoint(key, ENDPOINT)
        check_content(headers, settings.max_body_bytes)
        asked = parse(MODERATION, await read_body(request, settings), settings.max_json_depth)
        texts = texts_of(asked)
        rulesets = chosen(policies, key, asked.model)
        size = sum(len(part) for parts in texts for part in parts)
        return answer(rulesets, await turns.take(_look(rulesets, texts), size))

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


def chosen(policies: Policies, key: Key, model: str | None) -> Sequence[Ruleset]:
    """The policy of that name, else those that apply to every call of this key. Raises `GatewayError`."""
    rulesets = policies.now().rulesets
    there = ", ".join(rulesets) or "none"
    if model is not None and (named := rulesets.get(model)) is not None:
        return [named]
    if model is not None and not model.startswith(OPENAI_MODELS):
        raise ModelNotFound(f"This server has no policy of that name. Policies: {there}.", param="model")
    if found := policies.of_key(key):
        return found
    raise ModelNotFound(
        "No policy applies to this key. Name one in 'model', or ask the operator to set moderation.policy in the "
        "configuration or to give the key or its project a policy (--policy of portico keys and projects). "
        f"Policies: {there}.",
        param="model",
    )


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


def answer(rulesets: Sequence[Ruleset], texts: Iterable[Sequence[Explanation]]) -> dict[str, Any]:
    looked = _looked_for(rulesets)
    return {
        "id": f"modr-{getrandbits(96):024x}",
        "model": "+".join(f"{one.policy.name}-{one.policy.file.version}" for one in rulesets),
        "results": [_result(looked, one) for one in texts],
    }


def _result(looked: Mapping[str, bool], explanations: Iterable[Explanation]) -> dict[str, Any]:
    found = {one.category for each in explanations for one in each.matches if one.action != "shadow"}
    return {
        "flagged": bool(found),
        "categories": {name: name in found for name in looked},
        "category_scores": {name: float(name in found) for name in looked},
        "category_applied_input_types": {name: ["text"] if there else [] for name, there in looked.items()},
    }


def _looked_for(rulesets: Iterable[Ruleset]) -> dict[str, bool]:
    """All categories, and whether a rule looks for them in the content of requests."""
    looked: dict[str, bool] = dict.fromkeys(map(str, OPENAI_CATEGORIES), False)
    for ruleset in rulesets:
        for name, there in _categories(ruleset):
            looked[name] = looked.get(name, False) or there
    return looked


def _categories(ruleset: Ruleset) -> Iterator[tuple[str, bool]]:
    for rule in ruleset.rules:
        if rule.action != "shadow":
            yield rule.category, "input" in rule.directions and "content" in rule.channels
    if ruleset.policy.file.bidi_overrides == "refuse":
        yield BIDI, True
