"""The chain, without a database."""

from __future__ import annotations

import hashlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from server.stores.chain import START, Chain, hash_of


class Record(msgspec.Struct, frozen=True):
    seq: int
    id: str
    text: str
    details: dict[str, int]
    previous: str = ""
    hash: str = ""


def linked(texts: list[str]) -> list[Record]:
    chain: list[Record] = []
    for seq, text in enumerate(texts, 1):
        previous = chain[-1].hash if chain else START
        record = Record(seq, f"r{seq}", text, {"b": seq, "a": 1}, previous)
        chain.append(msgspec.structs.replace(record, hash=hash_of(record, previous)))
    return chain


def fault(records: list[Record], end: Record | None) -> str | None:
    chain = Chain()
    for record in records:
        if found := chain.follow(record):
            return found
    return chain.end(end.seq, end.hash) if end else chain.end(0, START)


texts = st.lists(st.text(max_size=5), min_size=1, max_size=8)


def test_hash_is_as_described() -> None:
    record = linked(["é"])[0]
    canonical = '{"details":{"a":1,"b":1},"id":"r1","seq":1,"text":"é"}'
    assert record.hash == hashlib.sha256(f"{START}\n{canonical}".encode()).hexdigest()


@given(texts)
def test_whole(several: list[str]) -> None:
    chain = linked(several)
    assert fault(chain, chain[-1]) is None
    assert fault([], None) is None


@given(texts, st.data())
def test_a_removed_record_is_named(several: list[str], data: st.DataObject) -> None:
    chain = linked(several)
    gone = data.draw(st.sampled_from(chain))
    left = [record for record in chain if record is not gone]
    assert str(fault(left, chain[-1])).startswith(f"record {gone.seq} is missing")


@given(texts, st.data())
def test_an_edited_record_is_named(several: list[str], data: st.DataObject) -> None:
    chain = linked(several)
    index = data.draw(st.integers(0, len(chain) - 1))
    edited = msgspec.structs.replace(chain[index], text=chain[index].text + "x")
    assert str(fault([*chain[:index], edited, *chain[index + 1 :]], chain[-1])).startswith(f"record {index + 1} (")
    rehashed = msgspec.structs.replace(edited, hash=hash_of(edited, edited.previous))
    # With a hash that fits it, the next one does not, or the end.
    assert fault([*chain[:index], rehashed, *chain[index + 1 :]], chain[-1]) is not None


@given(texts)
def test_a_record_added_at_the_end(several: list[str]) -> None:
    chain = linked([*several, "more"])
    assert str(fault(chain, chain[-2])).startswith(f"record {len(chain)} was added")
