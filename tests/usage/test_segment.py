from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.usage.segment import MAGIC, OPEN, START, WORDS, checkpoint, create, frames, read, set_checkpoint

PAYLOADS = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=40)), max_size=12)


def framed(payloads: list[tuple[bool, bytes]]) -> bytes:
    written = bytearray()
    for is_open, payload in payloads:
        word = len(payload) | (OPEN if is_open else 0)
        written += WORDS.pack(word, crc32(payload, word)) + payload
    return bytes(written)


def found(data: bytes) -> list[tuple[bool, bytes]]:
    return [(is_open, payload) for _, is_open, payload in frames(data)]


@given(PAYLOADS, st.data())
def test_any_cut_leaves_a_prefix_of_the_records(payloads: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    """Whether the file ends at the cut or goes on with the zeros of a preallocated segment."""
    written = framed(payloads)
    cut = data.draw(st.integers(0, len(written)))
    whole = [end for end, _, _ in frames(written) if end <= cut]
    for rest in (b"", bytes(len(written) - cut), bytes(64)):
        assert found(written[:cut] + rest) == payloads[: len(whole)]
    assert found(written) == payloads


@given(PAYLOADS, st.data(), st.binary(min_size=1, max_size=8))
def test_damage_is_never_taken_for_a_record(
    payloads: list[tuple[bool, bytes]], data: st.DataObject, noise: bytes
) -> None:
    written = bytearray(framed(payloads))
    at = data.draw(st.integers(0, len(written)))
    written[at : at + len(noise)] = noise
    left = found(bytes(written))
    intact = [end for end, _, _ in frames(framed(payloads)) if end <= at]
    assert left[: len(intact)] == payloads[: len(intact)]
    assert all(one in payloads for one in left)


@given(PAYLOADS)
def test_positions(payloads: list[tuple[bool, bytes]]) -> None:
    written = framed(payloads)
    ends = [end for end, _, _ in frames(written, START)]
    for number, end in enumerate(ends):
        rest = [payload for _, _, payload in frames(written[end - START :], end)]
        assert rest == [payload for _, payload in payloads[number + 1 :]]


def test_create(tmp_path: Path) -> None:
    path = tmp_path / "1.usage"
    memory = create(path, 8192)
    memory[START : START + 3] = b"abc"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 8192
    assert path.stat().st_blocks * 512 >= 8192  # allocated, and not a hole
    assert read(path, START, START + 3) == b"abc"
    assert checkpoint(path) == START
    set_checkpoint(path, 777)
    assert checkpoint(path) == 777
    assert memory[: len(MAGIC)] == MAGIC
    assert memory[START : START + 3] == b"abc"
    with pytest.raises(FileExistsError):
        create(path, 8192)


@pytest.mark.parametrize("begun", [b"", b"\0" * 4096, MAGIC, MAGIC + b"\0" * 100])
def test_a_segment_whose_maker_was_killed_at_once_is_empty(tmp_path: Path, begun: bytes) -> None:
    path = tmp_path / "1.usage"
    path.write_bytes(begun)
    assert checkpoint(path) == START
    assert found(read(path)) == []


def test_a_segment_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "1.usage"
    path.write_bytes(b"PTC-USE\x02" + struct.pack("<Q", START))
    assert checkpoint(path) is None
