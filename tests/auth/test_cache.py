from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.auth.cache import REFUSED_SIZE, KeyCache
from server.call import Key, Project

PROJECT = Project("proj_1", "one")


def key(name: str = "k") -> Key:
    return Key(f"key_{name}", name, PROJECT)


def test_a_key_ages_from_fresh_to_soon_to_due() -> None:
    cache, one = KeyCache(16, lifetime_s=30, stale_s=100), key()
    assert cache.look(b"d", 0) == ("absent", None)
    cache.put(b"d", one, 0, cache.epoch)
    assert [cache.look(b"d", now) for now in (0, 15, 15.1, 30, 30.1)] == [
        ("fresh", one), ("fresh", one), ("soon", one), ("soon", one), ("due", one),
    ]  # fmt: skip


def test_a_change_makes_all_due_at_once() -> None:
    cache = KeyCache(16, 30, 100)
    cache.put(b"d", key(), 0, cache.epoch)
    cache.changed()
    assert cache.look(b"d", 1)[0] == "due"
    cache.put(b"d", key(), 1, cache.epoch)
    assert cache.look(b"d", 1)[0] == "fresh"


def test_what_was_read_before_a_change_is_due() -> None:
    """The reading began, then the directory changed: what it brought may be old."""
    cache = KeyCache(16, 30, 100)
    epoch = cache.epoch
    cache.changed()
    cache.put(b"d", key(), 0, epoch)
    assert cache.look(b"d", 0)[0] == "due"


def test_stale_ends() -> None:
    cache, one = KeyCache(16, 30, 100), key()
    cache.put(b"d", one, 0, cache.epoch)
    assert cache.stale(b"d", 130) is one
    assert cache.stale(b"d", 130.1) is None


def test_a_refused_secret_is_remembered_and_never_stale() -> None:
    cache = KeyCache(16, 30, 100)
    cache.put(b"d", key(), 0, cache.epoch)
    cache.put(b"d", None, 1, cache.epoch)
    assert cache.look(b"d", 1) == ("fresh", None)
    assert cache.stale(b"d", 1) is None
    assert len(cache) == 1


def test_a_flood_of_wrong_secrets_pushes_out_no_right_one() -> None:
    cache = KeyCache(16, 30, 100)
    cache.put(b"right", key(), 0, cache.epoch)
    for number in range(100_000):
        cache.put(b"%d" % number, None, 0, cache.epoch)
    assert cache.look(b"right", 0)[0] == "fresh"
    assert len(cache) == REFUSED_SIZE + 1


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=200))
def test_the_bound_holds_and_the_latest_are_kept(uses: list[tuple[int, bool]]) -> None:
    cache, kept = KeyCache(16, 30, 100), list[int]()
    for digest, put in uses:
        known = digest in kept
        if put:
            cache.put(b"%d" % digest, key(), 0, cache.epoch)
        assert (cache.look(b"%d" % digest, 0)[0] != "absent") == (known or put)
        if known or put:
            kept = [*(one for one in kept if one != digest), digest][-16:]
    assert len(cache) == len(kept)
