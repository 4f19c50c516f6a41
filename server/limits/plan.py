"""What a call takes from which limits. Pure: no store, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from server.call import Call, Key, ServedModel, Tokens
from server.config import Limit
from server.openai.chat_request import ChatRequest, choices_of
from server.stores.base import Charge, LimitKind

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

    applied: tuple[Charge, ...]  # each for an amount of 1
    counts_tokens: bool  # tokens or what they cost
    counts_cost: bool
    least_tokens: int | None  # the smallest limit on tokens


NO_MODEL = ""
NOTHING = Plan((), counts_tokens=False, counts_cost=False, least_tokens=None)


class Need(NamedTuple):
    """What a call takes at most: `tokens` of prompt and answers together, `cost` in millionths."""

    tokens: int = 0
    cost: int = 0


def plan_of(key: Key, model: ServedModel) -> Plan:
    """Kept in the key: its limits do not change, another key takes its place when they do."""
    plan = key.plans.get(model.id)
    if plan is None:
        plan = key.plans[model.id] = _plan(key, model)
    return plan


def requests_plan_of(key: Key) -> Plan:
    """Of calls that no model serves: they count as requests of key and project, and use no tokens."""
    plan = key.plans.get(NO_MODEL)
    if plan is None:
        applied = tuple(one for one in _of_key(key) if one.kind in COUNTED)
        plan = key.plans[NO_MODEL] = Plan(applied, counts_tokens=False, counts_cost=False, least_tokens=None)
    return plan


def _plan(key: Key, model: ServedModel) -> Plan:
    applied = tuple(_applied(key, model))
    if not applied:
        return NOTHING
    tokens = [one.limit for one in applied if one.kind in TOKENS]
    cost = any(one.kind == SPEND for one in applied)
    return Plan(applied, counts_tokens=cost or bool(tokens), counts_cost=cost, least_tokens=min(tokens, default=None))


def _applied(key: Key, model: ServedModel) -> Iterator[Charge]:
    yield from _of_key(key)
    yield from _charges(f"project:{key.project.id}/{model.id}", key.project.model_limits.get(model.id))
    yield from _charges(f"model:{model.id}", model.config.limits)


def _of_key(key: Key) -> Iterator[Charge]:
    yield from _charges(f"key:{key.id}", key.limits)
    yield from _charges(f"project:{key.project.id}", key.project.limits)


def _charges(scope: str, limits: Limit | None) -> Iterator[Charge]:
    if limits is not None:
        for kind in _KINDS:
            value: float | None = getattr(limits, kind)
            if value is not None:
                yield Charge(scope, kind, round(value * MILLIONTHS) if kind == SPEND else int(value), 1)


def answer_tokens(call: Call, plan: Plan, prompt: int, most: int) -> int:
    """The longest answer that is granted: what the call asks for, else what its model, else `most`, says.

    What was not asked for shrinks to what the smallest limit leaves beside the prompt; what was asked for does not.
    """
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
    return choices_of(call.body)


def need(plan: Plan, call: Call, prompt: int, answer: int) -> Need:
    """The most that a call of `prompt` tokens can use."""
    answers = answer * choices(call)
    return Need(prompt + answers, call.model.cost(Tokens(prompt, answers)) if plan.counts_cost else 0)


def charges(plan: Plan, one: Need) -> tuple[Charge, ...]:
    """What is taken before the call goes to an engine."""
    return tuple([
        each if each.kind in COUNTED else Charge(each.scope, each.kind, each.limit, _amount(each.kind, 1, one))
        for each in plan.applied
    ])  # fmt: skip


def used(plan: Plan, call: Call) -> tuple[int, ...]:
    """What the call used in the end, in the order of the charges."""
    dispatched = int(call.dispatched is not None)
    tokens = call.used()
    one = Need(tokens.prompt + tokens.completion, call.model.cost(tokens) if plan.counts_cost else 0)
    return tuple([0 if each.kind == CONCURRENT else _amount(each.kind, dispatched, one) for each in plan.applied])


def _amount(kind: LimitKind, requests: int, one: Need) -> int:
    if kind in TOKENS:
        return one.tokens
    return one.cost if kind == SPEND else requests
