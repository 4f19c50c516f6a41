"""The spool as one worker sees it: what goes in comes out once, in order, and the disk stays tidy."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.stores.records import UsageRecord
from server.usage.folder import SpoolError, make
from server.usage.leftover import leftovers
from server.usage.segment import checkpoint
from server.usage.spool import MAX_HELD, Spool
from server.usage.usage_log import check
from tests.conftest import lacking
from tests.usage.doubles import ids, record

SEGMENT = 4096  # some thirty records


class Watched:
    """A spool with small segments, and what it reports."""

    def __init__(self, root: Path, *, max_segments: int = 1000, max_held: int = MAX_HELD) -> None:
        self.lost: list[int] = []
        self.sealed = 0
        self.folder = make(root)
        self.spool = Spool(
            self.folder,
            self.lost.append,
            self._seal,
            segment_bytes=SEGMENT,
            max_segments=max_segments,
            max_held=max_held,
        )

    def _seal(self) -> None:
        self.sealed += 1

    def close(self, numbers: range) -> None:
        for number in numbers:
            self.spool.close(record(number))

    def deliver(self, limit: int = 10, batches: int | None = None) -> list[str]:
        """The ids of what is delivered, in order."""
        delivered: list[str] = []
        while batches is None or batches > 0:
            batch = self.spool.batch(limit)
            self.spool.delivered(batch)
            delivered += [one.call_id for one in batch.records]
            if not batch.records:
                break
            batches = None if batches is None else batches - 1
        return delivered

    def files(self) -> int:
        return len(self.folder.segments())


def survivors(root: Path, *live: Watched) -> list[UsageRecord]:
    """What the next worker delivers once those in `live` are killed: their locks are gone, and nothing else happens."""
    for one in live:
        one.folder.release()
    found, problems = leftovers(root)
    assert problems == []
    records: list[UsageRecord] = []
    for leftover in found:
        assert leftover.waiting >= 0
        while leftover.waiting:
            batch = leftover.batch(7)
            leftover.delivered(batch)
            records += batch.records
        leftover.leave()
    assert list(root.iterdir()) == []
    return records


def test_rotation_in_order(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    one.close(range(500))
    assert one.spool.waiting == 500
    assert one.files() == one.sealed + 1 > 10
    assert one.deliver() == ids(range(500))
    assert (one.spool.waiting, one.files(), one.lost) == (0, 1, [])
    one.spool.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_was_not_delivered_comes_again(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    one.close(range(100))
    first = one.spool.batch(70)
    assert one.spool.batch(70) == first
    one.close(range(100, 120))
    assert one.deliver() == ids(range(120))


def test_open_calls_are_not_delivered_and_survive_their_segment(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    for number in range(5):
        one.spool.open(record(number, "lost", prompt=number))
    one.close(range(100, 400))
    assert one.deliver() == ids(range(100, 400))
    assert one.files() == 1  # carried over
    one.spool.close(record(3))
    assert one.deliver() == ids([3])
    left = survivors(tmp_path, one)
    assert [(each.call_id, each.outcome, each.prompt) for each in left] == [
        (record(number).call_id, "lost", number) for number in (0, 1, 2, 4)
    ]


def test_a_segment_full_of_open_calls_is_kept_until_they_end(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    for number in range(100):
        one.spool.open(record(number, "lost"))
    for _ in range(3):
        assert one.deliver() == []
    before = one.files()
    assert before > 2
    for number in range(100):
        one.spool.close(record(number))
    assert one.deliver() == ids(range(100))
    assert one.files() == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        lacking("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False)
    if mounted.returncode:
        lacking("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_and_its_end(small_disk: Path) -> None:
    one = Watched(small_disk)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    one.close(range(200))
    one.spool.retry()
    assert (one.files(), one.spool.waiting) == (1, 200)
    first = one.deliver(batches=10)  # from disk and from memory
    ballast.unlink()
    one.spool.retry()
    assert one.files() > 1
    one.close(range(200, 220))
    assert first + one.deliver() == ids(range(220))
    assert (one.spool.waiting, one.lost) == (0, [])


def test_what_was_held_is_on_disk_once_there_is_room(small_disk: Path) -> None:
    one = Watched(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(48 * 1024))
    one.close(range(150))
    held = len(one.spool._held)
    assert held > 0
    ballast.unlink()
    one.spool.retry()
    assert len(one.spool._held) == 0
    assert [each.call_id for each in survivors(small_disk, one)] == ids(range(150))


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    folder = make(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(56 * 1024))
    spool = Spool(folder, [].append, lambda: None)
    spool.close(record(1))
    batch = spool.batch(10)
    assert [one.call_id for one in batch.records] == ids([1])
    spool.delivered(batch)
    assert spool.waiting == 0
    spool.leave()
    assert list(small_disk.iterdir()) == [ballast]


def test_no_more_on_disk_than_allowed_and_none_dropped_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Watched(tmp_path, max_segments=3, max_held=20)
    one.close(range(300))
    assert one.files() == 3
    on_disk = 300 - 20 - len(one.lost)
    assert 60 < on_disk < 120
    assert len(caplog.messages) == 2  # it began, it loses; not a line for each
    assert one.spool.waiting == on_disk + 20
    assert one.deliver() == [*ids(range(on_disk)), *ids(range(280, 300))]
    one.spool.retry()
    one.close(range(300, 310))
    assert one.deliver() == ids(range(300, 310))
    assert len(one.lost) == 300 - 20 - on_disk


def test_records_dropped_from_memory_while_they_are_sent(tmp_path: Path) -> None:
    one = Watched(tmp_path, max_segments=1, max_held=10)
    one.close(range(100))
    one.deliver(limit=1000, batches=1)
    one.close(range(100, 110))
    sent = one.spool.batch(1000)
    assert [each.call_id for each in sent.records] == ids(range(100, 110))
    one.close(range(110, 114))  # drops four of those that are on their way
    one.spool.delivered(sent)
    assert one.spool.waiting == 4
    assert one.deliver() == ids(range(110, 114))


def test_what_somebody_else_deleted_is_counted(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    one.close(range(100))
    one.folder.segments()[0].unlink()
    delivered = one.deliver()
    assert delivered == ids(range(100 - len(delivered), 100))
    assert sum(one.lost) == 100 - len(delivered) > 0
    assert one.spool.waiting == 0


@contextmanager
def no_file_can_be_opened() -> Generator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_cannot_be_read_for_now_is_not_given_up(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    one.close(range(100))
    with no_file_can_be_opened():
        with pytest.raises(OSError, match="Too many open files"):
            one.spool.batch(10)
        one.close(range(100, 200))
    assert (one.spool.waiting, one.lost) == (200, [])
    assert [each.call_id for each in one.spool.batch(500).records] == ids(range(200))
    one.spool.retry()
    assert one.deliver() == ids(range(200))


def test_a_checkpoint_spares_the_next_worker_what_is_delivered(tmp_path: Path) -> None:
    one = Watched(tmp_path)
    one.close(range(20))
    one.deliver(limit=8, batches=2)
    assert checkpoint(one.folder.segments()[0]) != 16
    assert [each.call_id for each in survivors(tmp_path, one)] == ids(range(16, 20))


class Steps:
    """Random work on a spool, and what must be in the table if its worker is killed now."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.one = Watched(root)
        self.open: set[int] = set()
        self.closed: list[int] = []
        self.table: dict[str, str] = {}  # outcome by call; what comes again is passed over
        self.next = 0

    def begin(self) -> None:
        self.open.add(self.next)
        self.one.spool.open(record(self.next, "lost"))
        self.next += 1

    def end(self) -> None:
        if self.open:
            number = min(self.open)
            self.open.remove(number)
            self.closed.append(number)
            self.one.spool.close(record(number))

    def deliver(self) -> None:
        for call_id in self.one.deliver(limit=5, batches=1):
            assert call_id not in self.table
            self.table[call_id] = "ok"

    def kill(self) -> None:
        assert self.one.spool.waiting == len(self.closed) - len(self.table)
        for each in survivors(self.root, self.one):
            self.table.setdefault(each.call_id, each.outcome)
        closed = [call_id for call_id, outcome in self.table.items() if outcome == "ok"]
        assert closed == ids(self.closed)
        assert set(self.table) - set(closed) == set(ids(sorted(self.open)))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "deliver"]), st.integers(1, 40)), max_size=25))
def test_a_kill_at_any_point_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    work = Steps(tmp_path_factory.mktemp("spool"))
    acts: dict[str, Callable[[], None]] = {"begin": work.begin, "end": work.end, "deliver": work.deliver}
    for name, times in steps:
        for _ in range(times):
            acts[name]()
    work.kill()


def test_modes(tmp_path: Path) -> None:
    root = tmp_path / "a" / "spool"
    old = os.umask(0)
    try:
        one = Watched(root)
    finally:
        os.umask(old)
    modes = {path: path.stat().st_mode & 0o777 for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert len(modes) == 4
    one.spool.leave()


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_folder_that_cannot_be_written(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("as_nobody")
    with pytest.raises(SpoolError) as caught:
        check(Path("/proc/self/spool"))
    text = str(caught.value)
    assert text.startswith("The usage spool /proc/self/spool cannot be used: ")
    assert "\n" not in text


def test_permission_denied(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    request.getfixturevalue("as_nobody")
    for spool in (closed, closed / "spool"):
        with pytest.raises(SpoolError, match="cannot be used: permission denied"):
            check(spool)


def test_no_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be used: file exists"):
        check(tmp_path / "file")
    check(tmp_path / "good")
    assert list((tmp_path / "good").iterdir()) == []
