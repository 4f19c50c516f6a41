"""What a call takes from which limits. Pure: no store, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from server.call import Call, Key, ServedModel, Tokens
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
    sorts: tuple[int, ...]  # of each: where its amount is in (requests, tokens, cost, open)
    requests: tuple[int, ...]  # which of them limit requests
    tokens: tuple[int, ...]
    counts_tokens: bool  # tokens or what they cost
    counts_cost: bool
    least_tokens: int | None  # the smallest limit on tokens


NO_MODEL = ""


class Need(NamedTuple):
    """What a call takes at most: `tokens` of prompt and answers together, `cost` in millionths."""

    tokens: int = 0
    cost: int = 0


NOTHING = Need()


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
    return Plan(
        quotas,
        sorts=tuple([_sort(one.kind) for one in quotas]),
        requests=tuple([index for index, one in enumerate(quotas) if one.kind in REQUESTS]),
        tokens=tokens,
        counts_tokens=cost or bool(tokens),
        counts_cost=cost,
        least_tokens=min([quotas[index].limit for index in tokens], default=None),
    )


def _sort(kind: LimitKind) -> int:
    if kind in REQUESTS:
        return 0
    return 1 if kind in TOKENS else 2 if kind == SPEND else 3


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
    if not call.generates:
        return 0
    body = call.body
    defaults = call.model.config.defaults
    asked = body.max_completion_tokens if isinstance(body, ChatRequest) else None
    asked = body.max_tokens if asked is None else asked
    if asked is not None:
        return asked
    if not isinstance(body, ChatRequest) and defaults.max_tokens is None:
        return LEGACY_ANSWER_TOKENS
    granted = min(defaults.max_tokens or most, max(1, call.model.config.context_length - prompt))
    if plan.least_tokens is not None:
        granted = min(granted, max(1, (plan.least_tokens - prompt) // choices(call)))
    return granted


def choices(call: Call) -> int:
    """How many answers, each with a prompt of its own if there are several prompts."""
    return choices_of(call.body) if call.generates else 0


def need(plan: Plan, call: Call, prompt: int, answer: int) -> Need:
    """The most that a call of `prompt` tokens can use."""
    answers = answer * choices(call)
    return Need(prompt + answers, call.model.cost(Tokens(prompt, answers)) if plan.counts_cost else 0)


def amounts(plan: Plan, one: Need) -> tuple[int, ...]:
    """What is taken before the call goes to an engine, in the order of the quotas."""
    by_sort = (1, one.tokens, one.cost, 1)
    return tuple([by_sort[sort] for sort in plan.sorts])


def used(plan: Plan, call: Call) -> tuple[int, ...]:
    """What the call used in the end."""
    tokens = call.used()
    cost = call.model.cost(tokens) if plan.counts_cost else 0
    by_sort = (int(call.dispatched is not None), tokens.prompt + tokens.completion, cost, 0)
    return tuple([by_sort[sort] for sort in plan.sorts])
