from __future__ import annotations

import itertools
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.judges.cache import VerdictCache
from server.moderation.judges.verdicts import Verdict

SECRET = b"0123456789abcdef"
MOST, LIFETIME_S = 3, 10.0


def verdict(number: int) -> Verdict:
    return Verdict(False, {}, f"number {number}", 1, 1)


GAPS = st.sampled_from((0.0, 0.0, 0.0, 1.0, 5.0, 10.0))
STEPS = st.lists(st.tuples(GAPS, st.sampled_from(("get", "put")), st.integers(0, 4)), max_size=60)


@given(STEPS)
def test_the_last_used_within_their_lifetime(steps: list[tuple[float, str, int]]) -> None:
    cache, model, now = VerdictCache(SECRET, MOST, LIFETIME_S), OrderedDict[int, tuple[int, float]](), 0.0
    for number, (gap, verb, which) in enumerate(steps):
        now += gap
        key = cache.key("policy", "model", str(which))
        if verb == "put":
            cache.put(key, verdict(number), now)
            model.pop(which, None)
            model[which] = (number, now)
            while len(model) > MOST:
                model.popitem(last=False)
        else:
            known = model.get(which)
            if known is not None and now - known[1] >= LIFETIME_S:
                del model[which]
                known = None
            elif known is not None:
                model.move_to_end(which)
            assert cache.get(key, now) == (None if known is None else verdict(known[0]))
        assert len(cache) == len(model) <= MOST


def test_what_was_used_last_stays() -> None:
    cache = VerdictCache(SECRET, MOST)
    keys = [cache.key("policy", "model", str(number)) for number in range(4)]
    for number in range(3):
        cache.put(keys[number], verdict(number), 0)
    cache.get(keys[0], 1)
    cache.put(keys[3], verdict(3), 2)
    assert [number for number, key in enumerate(keys) if cache.get(key, 3)] == [0, 2, 3]


def test_a_key_is_of_policy_model_and_text_and_nothing_slips_over() -> None:
    cache = VerdictCache(SECRET)
    names = ("", "a", "b", "ab", "a\0", "\ud800")
    keys = {cache.key(*parts) for parts in itertools.product(names, repeat=3)}
    assert len(keys) == len(names) ** 3
    assert cache.key("p", "m", "t") == VerdictCache(SECRET).key("p", "m", "t")
    assert cache.key("p", "m", "t") != VerdictCache(SECRET[::-1]).key("p", "m", "t")


def test_a_secret_worth_the_name() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        VerdictCache(b"short")


def test_no_text_is_kept() -> None:
    cache = VerdictCache(SECRET)
    cache.put(cache.key("p", "m", "very private"), verdict(1), 0)
    assert "private" not in repr(vars(cache))
