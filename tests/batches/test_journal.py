"""A journal that is cut anywhere goes on where it was whole."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.batches.journal import Journal, recover
from server.batches.outputs import Locked, Progress
from server.batches.results import Result, answered, never_sent, read, refused
from server.errors import ContentFiltered
from server.stores.batches import BatchTokens, Counts

BATCH = "batch_1f"
BODY = json.dumps(
    {
        "choices": [{"message": {"content": "two\nlines"}}],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    },
    indent=1,
).encode()
TOKENS = BatchTokens(5, 2, 3, 1)


def result(number: int) -> Result:
    """Of three kinds."""
    name = f"r{number}"
    if number % 3 == 0:
        return refused(BATCH, number, name, "req_1", ContentFiltered("no"))
    if number % 3 == 1:
        return never_sent(BATCH, number, name, "batch_expired", "too late")
    return answered(BATCH, number, name, "req_1", BODY)


def ids(*places: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for place in places for line in place.read_bytes().splitlines()]


def test_a_result_is_one_line_and_is_read_again() -> None:
    for number in range(3):
        one = result(number)
        assert one.line.count(b"\n") == 1 and one.line.endswith(b"\n")
        assert read(one.line, BATCH) == (number, one.tokens)
        assert read(one.line, "batch_2") is None and read(one.line[:-1], BATCH) is None
    assert result(2).tokens == TOKENS


def test_tokens_of_a_response() -> None:
    usage = {"input_tokens": 5, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}}
    body = {"usage": usage | {"output_tokens_details": {"reasoning_tokens": 1}}}
    assert answered(BATCH, 1, "a", "req_1", json.dumps(body).encode()).tokens == TOKENS
    assert answered(BATCH, 1, "a", "req_1", b'{"usage": null}').tokens == BatchTokens()


@given(st.lists(st.integers(0, 40), unique=True), st.data())
def test_whole_results_before_any_cut_or_damage_count_and_no_others(numbers: list[int], data: st.DataObject) -> None:
    lines = [result(number).line for number in numbers]
    text = b"".join(lines)
    cut = data.draw(st.integers(0, len(text)))
    tail = data.draw(st.sampled_from([b"", b"\0" * 5, b"\0\n", b"{}\n", b"\xff\xfe\n", *lines[:1]]))
    progress = Progress()
    end = recover(io.BytesIO(text[:cut] + tail), BATCH, "output", progress)
    whole = [number for at, number in enumerate(numbers) if len(b"".join(lines[: at + 1])) <= cut]
    if end > cut:  # what was appended happens to be a result that is not there yet
        whole.append(numbers[0])
    assert progress.numbers == set(whole)
    assert progress.counts["output"] == len(whole)
    assert text[:cut].startswith(b"".join(result(number).line for number in whole)) or end > cut
    assert progress.tokens.prompt == 5 * sum(number % 3 == 2 for number in whole)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_killed_again_and_again_every_line_has_one_result(steps: list[int], data: st.DataObject) -> None:
    """Each process writes some of what is missing, and is killed within its last write."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder, BATCH)
        for step in (*steps, 30):
            journal = Journal(folder, BATCH)
            journal.open()
            missing = [number for number in range(30) if number not in journal.progress.numbers]
            journal.append([result(number) for number in missing[:step]])
            journal.close()
            if step != 30:
                kind = data.draw(st.sampled_from(["output", "errors"]))
                place = folder / f"{BATCH}.{kind}"
                text = place.read_bytes()
                place.write_bytes(text[: data.draw(st.integers(max(0, len(text) - 60), len(text)))])
        outputs = [folder / f"{BATCH}.{kind}" for kind in ("output", "errors")]
        assert sorted(ids(*outputs)) == sorted(f"r{number}" for number in range(30))
        assert journal.progress.of(30) == Counts(30, 10, 20)
        assert journal.progress.tokens == BatchTokens(50, 20, 30, 10)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    one, other = Journal(tmp_path, BATCH), Journal(tmp_path, BATCH)
    one.open()
    with pytest.raises(Locked):
        other.open()
    other.close()
    one.append([result(2)])
    one.close()
    other.open()
    assert other.progress.numbers == {2}
    other.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, BATCH)
    journal.open()
    journal.append([result(2)])

    class Full(io.FileIO):
        def write(self, data: object) -> int:
            if len(memoryview(data)) < 50:  # type: ignore[arg-type]
                raise OSError(28, "No space left on device")
            return super().write(memoryview(data)[:50])  # type: ignore[arg-type]

    before = journal.place("output").read_bytes()
    journal._files["output"].close()
    full = Full(journal.place("output"), "r+")
    full.seek(len(before))
    journal._files["output"] = full  # type: ignore[assignment]
    with pytest.raises(Exception, match="disk of the files is full"):
        journal.append([result(5)])
    assert journal.place("output").read_bytes() == before
    assert journal.progress.numbers == {2}
    journal.close()
