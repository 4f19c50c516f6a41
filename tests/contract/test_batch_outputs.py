"""What every journal of a batch does: in a folder and in a bucket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

import pytest

from server.batches.journal import FolderOutputs
from server.batches.outputs import KINDS, Locked, Outputs
from server.batches.results import Result, answered, never_sent
from server.batches.segments import SegmentedOutputs
from server.stores.base import StoreDown
from server.stores.bucket import Bucket
from server.stores.bucket_contents import BucketContents
from server.stores.files import Contents
from server.stores.folder import FolderContents
from tests.services.s3 import S3Server

BATCH = "batch_1f"
BODY = json.dumps({"usage": {"prompt_tokens": 5, "completion_tokens": 3}}).encode()
New = Callable[[], Outputs]


@pytest.fixture
def outputs(contents: Contents, request: pytest.FixtureRequest) -> New:
    if isinstance(contents, FolderContents):
        return partial(FolderOutputs, contents, BATCH)
    return partial(SegmentedOutputs, Bucket(request.getfixturevalue("bucket_url"), tries=0), contents, BATCH)


def result(number: int) -> Result:
    if number % 3 == 0:
        return never_sent(BATCH, number, f"r{number}", "batch_expired", "too late")
    return answered(BATCH, number, f"r{number}", "req_1", BODY)


async def lines_of(contents: Contents, file_id: str) -> list[str]:
    async with contents.reading(file_id) as reader:
        text = b""
        while part := await reader.read(1000):
            text += part
    return [json.loads(line)["custom_id"] for line in text.splitlines()]


async def test_whoever_goes_on_knows_what_was_done(contents: Contents, outputs: New) -> None:
    for numbers in ([1, 2, 3], [4], [6, 5, 7, 9]):
        one = outputs()
        await one.open()
        await one.append([result(number) for number in numbers])
        one.close()
        one.close()
    last = outputs()
    await last.open()
    assert last.progress.numbers == {1, 2, 3, 4, 5, 6, 7, 9}
    assert (last.progress.counts, last.progress.tokens.prompt) == ({"output": 5, "errors": 3}, 25)
    for kind in KINDS:
        for _ in range(2):
            await last.publish(kind, f"file-{kind}")
        async with contents.reading(f"file-{kind}") as reader:
            assert len(await reader.read(1 << 20)) == last.size(kind)
    assert sorted(await lines_of(contents, "file-output")) == ["r1", "r2", "r4", "r5", "r7"]
    assert sorted(await lines_of(contents, "file-errors")) == ["r3", "r6", "r9"]
    await last.remove()
    last.close()
    assert await contents.unfinished(time.time() + 60) == []


async def test_two_processes_that_both_believe_to_have_it(outputs: New) -> None:
    slow, quick = outputs(), outputs()
    await slow.open()
    await slow.append([result(1)])
    if isinstance(slow, FolderOutputs):
        with pytest.raises(Locked):
            await quick.open()
        quick.close()
    else:
        await quick.open()
        assert quick.progress.numbers == {1}
        await quick.append([result(2)])
        with pytest.raises(Locked):
            await slow.append([result(2)])
        with pytest.raises(Locked):
            await slow.append([result(3)])
    slow.close()
    again = outputs()
    await again.open()
    assert again.progress.numbers <= {1, 2}, "no line has two results"
    again.close()


async def test_what_is_unfinished_tells_its_batch(contents: Contents, outputs: New) -> None:
    one = outputs()
    await one.open()
    await one.append([result(1)])
    one.close()
    names = await contents.unfinished(time.time() + 60)
    assert {name.partition(".")[0] for name in names} == {BATCH}
    for name in names:
        await contents.discard(name)
    assert await contents.unfinished(time.time() + 60) == []
    again = outputs()
    await again.open()
    assert again.progress.numbers == set()
    again.close()


async def test_many_segments_and_a_gap(contents: Contents, bucket_url: str, s3_server: S3Server) -> None:
    """What a process wrote that had lost the batch before is not of the chain."""
    bucket = Bucket(bucket_url)
    kept = BucketContents(bucket, contents.scratch)
    one = SegmentedOutputs(bucket, kept, BATCH)
    await one.open()
    for number in range(1, 31):
        await one.append([result(number)])
    await bucket.create(f"journal/{BATCH}/00000031", b"output\n" + result(40).line)
    await bucket.create(f"journal/{BATCH}/something-else", b"x")
    again = SegmentedOutputs(bucket, kept, BATCH)
    await again.open()
    assert again.progress.numbers == set(range(1, 31))
    await again.publish("output", "file-output")
    assert len(await lines_of(kept, "file-output")) == 20
    await again.remove()
    assert s3_server.keys(bucket_url) == ["content/file-output"]


async def test_a_store_that_is_away(contents: Contents, bucket_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = SegmentedOutputs(Bucket(bucket_url, tries=0), contents, BATCH)
    with pytest.raises(StoreDown, match="does not answer"):
        await away.open()
    with pytest.raises(StoreDown, match="does not answer"):
        await away.append([result(1)])
    assert away.progress.numbers == set() and away.size("output") == 0
