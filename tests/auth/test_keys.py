from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.directory import KeyDirectory
from server.auth.keys import KeyRing
from server.call import Key
from server.config import Auth, Limit, StaticKey
from server.errors import GatewayError, InvalidApiKey


def never(answer: Key | GatewayError) -> None:
    raise AssertionError("static keys are known at once")


def name_of(found: KeyRing, headers: dict[bytes, bytes]) -> str:
    key = found.authenticate(headers, never)
    assert key is not None
    return key.name


def ring(*keys: str) -> KeyRing:
    return KeyRing(
        [StaticKey(name=f"k{i}", key_sha256=hashlib.sha256(k.encode()).hexdigest()) for i, k in enumerate(keys)],
        Limit(),
    )


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer two")],
        [(b"authorization", b"BEARER two")],
        [(b"authorization", b"Bearer   two ")],
        [(b"x-api-key", b"two")],
        [(b"x-api-key", b"one"), (b"authorization", b"Bearer two")],
        [(b"authorization", b"Basic abc"), (b"x-api-key", b"two")],
    ],
)
def test_found(headers: list[tuple[bytes, bytes]]) -> None:
    assert name_of(ring("one", "two"), dict(headers)) == "k1"


@given(st.binary(max_size=700).filter(lambda secret: secret.strip() != b"one"))
def test_nothing_else_opens(secret: bytes) -> None:
    for headers in ([(b"authorization", b"Bearer " + secret)], [(b"x-api-key", secret)], []):
        with pytest.raises(InvalidApiKey) as caught:
            ring("one").authenticate(dict(headers), never)
        assert "one" not in caught.value.message.split()


def test_no_keys_at_all() -> None:
    with pytest.raises(InvalidApiKey):
        ring().authenticate({b"authorization": b"Bearer x"}, never)


def test_open() -> None:
    assert name_of(KeyRing((), Limit(), open_to_all=True), {}) == "anonymous"


def test_long_keys() -> None:
    """All of a key counts, however long it is."""
    long = "k" * 5000
    assert name_of(ring(long), {b"authorization": b"Bearer " + long.encode()}) == "k0"
    with pytest.raises(InvalidApiKey):
        ring(long).authenticate({b"authorization": b"Bearer " + long[:-1].encode()}, never)


async def test_a_hundred_thousand_wrong_keys_leave_nothing_behind() -> None:
    directory = KeyDirectory(None, b"k" * 32, Auth(), Limit())  # type: ignore[arg-type] # which no wrong key reaches
    found = KeyRing((), Limit(), directory)
    late: list[Key | GatewayError] = []
    at_once = 0
    for number in range(100_000):
        try:
            assert found.authenticate({b"authorization": b"Bearer sk-portico-%d" % number}, late.append) is None
        except InvalidApiKey:
            at_once += 1
    assert 50 <= at_once < 100_000
    assert len(directory._cache) == 0
    await asyncio.sleep(1.5)
    assert at_once + len(late) == 100_000
    assert {type(one) for one in late} == {InvalidApiKey}
