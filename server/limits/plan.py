"""What a call takes from which limits. Pure: no store, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from server.call import Call, Key, ServedModel
from server.config import Limit
from server.openai.chat_request import ChatRequest, choices_of
from server.stores.base import LimitKind, Quota, Quotas

REQUESTS: frozenset[LimitKind] = frozenset(("requests_per_minute", "requests_per_day"))
TOKENS: frozenset[LimitKind] = frozenset(("tokens_per_minute", "tokens_per_day"))
CALENDAR: frozenset[LimitKind] = frozenset(("requests_per_day", "tokens_per_day", "spend_per_month"))
SPEND: LimitKind = "spend_per_month"
CONCURRENT: LimitKind = "concurrent_requests"
COUNTED: frozenset[LimitKind] = frozenset((*REQUESTS, CONCURRENT))  # a call counts as one

MILLIONTHS = 1_000_000
LEGACY_ANSWER_TOKENS = 16  # what /v1/completions grants a request that names no maximum, as OpenAI does

_KINDS: tuple[LimitKind, ...] = (CONCURRENT, *sorted(REQUESTS), *sorted(TOKENS), SPEND)


@dataclass(frozen=True, slots=True)
class Plan:
    """All limits of a key's calls to one model; spend in millionths."""

    quotas: Quotas
    spread: Callable[[tuple[int, int, int, int]], tuple[int, ...]]
    """From requests, tokens, cost and places among the open requests to an amount for each quota."""
    requests: tuple[int, ...]  # which of them limit requests
    tokens: tuple[int, ...]
    counts_tokens: bool  # tokens or what they cost
    counts_cost: bool
    request: tuple[int, ...]  # the amounts of a call whose tokens do not matter
    least_tokens: int | None  # the smallest limit on tokens


NO_MODEL = ""


def plan_of(key: Key, model: ServedModel) -> Plan:
    """Kept in the key: its limits do not change, another key takes its place when they do."""
    plan = key.plans.get(model.id)
    if plan is None:
        plan = key.plans[model.id] = _plan(tuple(_applied(key, model)))
    return plan


def requests_plan_of(key: Key) -> Plan:
    """Of calls that no model serves: they count as requests of key and project, and use no tokens."""
    plan = key.plans.get(NO_MODEL)
    if plan is None:
        plan = key.plans[NO_MODEL] = _plan(tuple([one for one in _of_key(key) if one.kind in COUNTED]))
    return plan


def _plan(quotas: Quotas) -> Plan:
    tokens = tuple([index for index, one in enumerate(quotas) if one.kind in TOKENS])
    cost = any(one.kind == SPEND for one in quotas)
    spread = _spread([_sort(one.kind) for one in quotas])
    return Plan(
        quotas,
        spread,
        requests=tuple([index for index, one in enumerate(quotas) if one.kind in REQUESTS]),
        tokens=tokens,
        counts_tokens=cost or bool(tokens),
        counts_cost=cost,
        request=spread((1, 0, 0, 1)),
        least_tokens=min([quotas[index].limit for index in tokens], default=None),
    )


def _sort(kind: LimitKind) -> int:
    if kind in REQUESTS:
        return 0
    return 1 if kind in TOKENS else 2 if kind == SPEND else 3


def _spread(sorts: Sequence[int]) -> Callable[[tuple[int, int, int, int]], tuple[int, ...]]:
    return itemgetter(*sorts) if len(sorts) > 1 else lambda one: tuple([one[sort] for sort in sorts])


def _applied(key: Key, model: ServedModel) -> Iterator[Quota]:
    yield from _of_key(key)
    yield from _quotas(f"project:{key.project.id}/{model.id}", key.project.model_limits.get(model.id))
    yield from _quotas(f"model:{model.id}", model.config.limits)


def _of_key(key: Key) -> Iterator[Quota]:
    yield from _quotas(f"key:{key.id}", key.limits)
    yield from _quotas(f"project:{key.project.id}", key.project.limits)


def _quotas(scope: str, limits: Limit | None) -> Iterator[Quota]:
    if limits is not None:
        for kind in _KINDS:
            value: float | None = getattr(limits, kind)
            if value is not None:
                yield Quota(scope, kind, round(value * MILLIONTHS) if kind == SPEND else int(value))


def answer_tokens(call: Call, plan: Plan, prompt: int, most: int) -> int:
    """The longest answer that is granted: what the call asks for, else what its model, else `most`, says.

    What was not asked for shrinks to what the smallest limit leaves beside the prompt; what was asked for does not.
    Where a model writes nothing it is 0.
    """
    body = call.body
    chat = isinstance(body, ChatRequest)
    if not (chat or call.generates):
        return 0
    asked = body.max_completion_tokens if chat else None
    asked = body.max_tokens if asked is None else asked
    if asked is not None:
        return asked
    defaults = call.model.config.defaults
    if not chat and defaults.max_tokens is None:
        return LEGACY_ANSWER_TOKENS
    granted = min(defaults.max_tokens or most, max(1, call.model.config.context_length - prompt))
    if plan.least_tokens is not None:
        granted = min(granted, max(1, (plan.least_tokens - prompt) // choices_of(body)))
    return granted


def amounts(plan: Plan, call: Call, prompt: int, answer: int) -> tuple[int, ...]:
    """The most that a call can use, in the order of the quotas: a prompt and answers of so many tokens."""
    answers = answer * choices_of(call.body) if answer else 0
    return plan.spread((1, prompt + answers, call.model.cost(prompt, answers) if plan.counts_cost else 0, 1))


def used(plan: Plan, call: Call) -> tuple[int, ...]:
    """What the call used in the end."""
    tokens = call.used()
    prompt, completion = tokens.prompt, tokens.completion
    cost = call.model.cost(prompt, completion, tokens.cached) if plan.counts_cost else 0
    return plan.spread((0 if call.dispatched is None else 1, prompt + completion, cost, 0))
