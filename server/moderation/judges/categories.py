"""Names of categories: OpenAI's thirteen, our own, and what each model calls them. Pure.

A model's category may be wider than any of ours. Then it stands for all that it covers: a rule on one of them acts
rather once too often than not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

OPENAI = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)

# Qwen3Guard Technical Report (arXiv 2510.14276), safety policies; the model card has the short names.
QWEN3GUARD: Mapping[str, tuple[str, ...]] = {
    "Violent": ("violence",),
    "Non-violent Illegal Acts": ("illicit",),
    "Sexual Content or Sexual Acts": ("sexual",),
    "PII": ("privacy",),
    "Personally Identifiable Information": ("privacy",),
    "Suicide & Self-Harm": ("self-harm",),
    "Unethical Acts": ("unethical", "harassment", "hate"),  # its definition names insults, threats and discrimination
    "Politically Sensitive Topics": ("political",),
    "Copyright Violation": ("intellectual-property",),
    "Jailbreak": ("prompt-injection",),  # of prompts alone
}

# MLCommons hazards as in the model cards of Llama Guard 3 and 4.
LLAMA_GUARD: Mapping[str, tuple[str, ...]] = {
    "S1": ("illicit/violent", "violence"),  # violent crimes
    "S2": ("illicit",),  # non-violent crimes
    "S3": ("illicit/violent", "sexual"),  # sex-related crimes
    "S4": ("sexual/minors",),  # child sexual exploitation
    "S5": ("defamation",),
    "S6": ("specialized-advice",),
    "S7": ("privacy",),
    "S8": ("intellectual-property",),
    "S9": ("illicit/violent",),  # indiscriminate weapons
    "S10": ("hate",),
    "S11": ("self-harm",),
    "S12": ("sexual",),
    "S13": ("elections",),
    "S14": ("code-abuse",),  # of a code interpreter
}

# Labels of openai/privacy-filter.
PRIVACY_FILTER: Mapping[str, str] = {
    "account_number": "privacy/account-number",
    "private_address": "privacy/address",
    "private_date": "privacy/date",
    "private_email": "privacy/email",
    "private_person": "privacy/person",
    "private_phone": "privacy/phone",
    "private_url": "privacy/url",
    "secret": "privacy/secret",
}

OWN = (
    "code-abuse",
    "defamation",
    "elections",
    "intellectual-property",
    "political",
    "privacy",
    *PRIVACY_FILTER.values(),
    "prompt-injection",
    "specialized-advice",
    "unethical",
)


def looked_for(adapter: str, named: Iterable[str]) -> list[str]:
    """The categories of a model's verdicts: the `named` ones where a policy names them, else all that it knows."""
    known: dict[str, Iterable[str]] = {
        "qwen3guard": [name for names in QWEN3GUARD.values() for name in names],
        "llama_guard": [name for names in LLAMA_GUARD.values() for name in names],
        "privacy_filter": PRIVACY_FILTER.values(),
    }
    return list(dict.fromkeys(list(named) or known.get(adapter, ())))


def scores(found: Iterable[tuple[str, float]]) -> Mapping[str, float]:
    """The highest score of each category. `a/b` counts for `a` too, as a rule on `a` means all of it. Read-only."""
    best: dict[str, float] = {}
    for name, score in found:
        parent = name.partition("/")[0]
        for one in (name, parent):
            best[one] = max(score, best.get(one, 0.0))
    return MappingProxyType(best)
