"""Keys: their shape, their strength, and that nothing else passes for one."""

from __future__ import annotations

import hashlib
import math
import re
import string

from hypothesis import given
from hypothesis import strategies as st

from server.auth.secrets import Kind, digest_of, new_secret, parse_secret, tag_key

ROOT = bytes(range(32))
TAGS = tag_key(ROOT)
LETTERS = string.digits + string.ascii_letters
kinds = st.sampled_from(["key", "admin"])


@given(kinds)
def test_what_is_made_is_known(kind: Kind) -> None:
    made = new_secret(kind, TAGS)
    assert parse_secret(made.secret, TAGS) == (kind, made.lookup)
    assert made.digest == digest_of(made.secret) == hashlib.sha256(made.secret.encode()).hexdigest()


@given(kinds)
def test_shape(kind: Kind) -> None:
    made = new_secret(kind, TAGS)
    prefix = {"key": "sk-portico-", "admin": "sk-portico-admin-"}[kind]
    assert re.fullmatch(re.escape(prefix + made.lookup) + "[0-9A-Za-z]{39}", made.secret)
    assert re.fullmatch("[0-9A-Za-z]{16}", made.lookup)
    assert made.redacted == f"{prefix}{made.lookup[:4]}...{made.secret[-4:]}"


def test_strength() -> None:
    secret = new_secret("key", TAGS).secret
    body = secret.removeprefix("sk-portico-")[16:-6]
    assert len(body) * math.log2(62) >= 192
    many = [new_secret("key", TAGS).secret.removeprefix("sk-portico-")[:-6] for _ in range(300)]
    assert len(set(many)) == len(many)
    assert all(len({one[place] for one in many}) > 40 for place in range(49)), "a place where few letters come"


@given(kinds, st.integers(0, 54), st.sampled_from(LETTERS))
def test_one_wrong_letter_is_found(kind: Kind, place: int, letter: str) -> None:
    secret = new_secret(kind, TAGS).secret
    place += len(secret) - 55  # after the prefix
    wrong = secret[:place] + letter + secret[place + 1 :]
    assert (parse_secret(wrong, TAGS) is None) == (wrong != secret)


@given(kinds, st.integers(0, 53))
def test_two_letters_swapped_are_found(kind: Kind, place: int) -> None:
    secret = new_secret(kind, TAGS).secret
    place += len(secret) - 55
    swapped = secret[:place] + secret[place + 1] + secret[place] + secret[place + 2 :]
    assert (parse_secret(swapped, TAGS) is None) == (swapped != secret)


@given(st.one_of(st.text(), st.from_regex(r"sk-portico-(admin-)?[0-9A-Za-z]{55}", fullmatch=True)))
def test_nothing_else_passes(text: str) -> None:
    assert parse_secret(text, TAGS) is None


@given(kinds, st.text(min_size=1, max_size=3))
def test_nothing_around_it(kind: Kind, more: str) -> None:
    secret = new_secret(kind, TAGS).secret
    assert parse_secret(secret + more, TAGS) is None
    assert parse_secret(more + secret, TAGS) is None


@given(kinds, st.binary(min_size=32, max_size=32).filter(lambda other: other != ROOT))
def test_of_another_server(kind: Kind, other: bytes) -> None:
    assert parse_secret(new_secret(kind, tag_key(other)).secret, TAGS) is None


def test_one_kind_does_not_pass_for_the_other() -> None:
    key, admin = new_secret("key", TAGS).secret, new_secret("admin", TAGS).secret
    assert parse_secret(key.replace("sk-portico-", "sk-portico-admin-"), TAGS) is None
    assert parse_secret(admin.replace("-admin-", "-"), TAGS) is None


def test_tag_key_is_not_the_root() -> None:
    assert len(TAGS) == 32
    assert TAGS != ROOT
    assert tag_key(ROOT) == TAGS
