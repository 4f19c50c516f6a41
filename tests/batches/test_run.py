"""Batches that are run by hand: a store on disk, no engine, a clock of the test's own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from server.batches.answer import LineAnswer, collected
from server.batches.flight import Flight, Waiting
from server.batches.hold import Hold, Lost
from server.batches.journal import FolderOutputs, Journal
from server.batches.results import answered
from server.batches.room import Room
from server.batches.run import Run
from server.batches.runner import BatchRunner
from server.batches.states import finalizing
from server.batches.tools import LineKind, Pace, Tools
from server.call import Call, Key, Project, ServedModel
from server.config import Batches, Model
from server.errors import GatewayError, InvalidApiKey, TooManyRequests
from server.openai.batch_request import BatchLine
from server.openai.collect import Collector
from server.stores.base import StoreDown
from server.stores.batches import BatchRecord
from server.stores.files import FileRecord, StorageFull
from server.stores.folder import FolderContents
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.behaviour.serving import eventually
from tests.behaviour.tenant_processes import becomes as until

URL = "/v1/chat/completions"
KEY = Key("key_1", "k", Project("p", "p"))
MODEL = ServedModel("m", Model(engines=("one",)), 0)
BODY = b'{"usage": {"prompt_tokens": 2, "completion_tokens": 1}}'
PACE = Pace(look=0.02, lease=1.0, beat=0.05, check=0.05, turn=0.3, stuck=0.2, room=0.01)
Said = bytes | GatewayError | None


class Flow:
    def __init__(self) -> None:
        self.left = False

    def leave(self) -> None:
        self.left = True


class Shop:
    """`say(name)` answers a line at once; None leaves it open. `asked` are the names, as they came."""

    def __init__(self, store: SqlStore, folder: Path, **settings: Any) -> None:
        self.store = store
        self.contents = FolderContents(folder)
        self.now = 1000.0
        store._clock = lambda: 1000.0  # holds do not run out
        self.say: Callable[[str], Said] = lambda name: BODY
        self.asked: list[str] = []
        self.flows: list[Flow] = []
        self.lines: list[str] = []
        self.owner_error: GatewayError | None = None
        self.tools = Tools(
            store=store,
            contents=self.contents,
            outputs=partial(FolderOutputs, self.contents),
            kinds={URL: LineKind("chat.completions", self.new_call, collected(Collector))},
            owner=self.owner,
            start=self.start,
            new_id=lambda: "req_1",
            room=Room(8, 1.0, lambda model: (0, 100)),
            counted=self,
            settings=Batches(**settings),
            longest_line=1000,
            output_days=1,
            clock=lambda: self.now,
            pace=PACE,
        )

    async def owner(self, key_id: str) -> Key:
        if self.owner_error is not None:
            raise self.owner_error
        return KEY

    def new_call(self, body: bytes, key: Key, request_id: str) -> Call:
        return Call(request_id, "chat.completions", key, MODEL, json.loads(body), stream=False, include_usage=False)

    def start(self, call: Call, answer: LineAnswer) -> Flow:
        name = call.body["name"]
        self.asked.append(name)
        said = self.say(name)
        if said is not None:
            answer._ended(said)
        self.flows.append(Flow())
        return self.flows[-1]

    def line(self, outcome: str) -> None:
        self.lines.append(outcome)

    def running(self, batches: int) -> None: ...

    async def batch(self, lines: int, name: str = "1", **changes: Any) -> BatchRecord:
        made = self.contents.scratch / "made"
        made.parent.mkdir(parents=True, exist_ok=True)
        fixed = {"method": "POST", "url": URL}
        rows = [{"custom_id": f"r{at}", "body": {"name": f"r{at}"}, **fixed} for at in range(lines)]
        made.write_text("\n".join(json.dumps(row) for row in rows))
        await self.contents.put(made, f"file-{name}")
        await self.store.add_file(FileRecord(f"file-{name}", "p", "batch", "in", 1, 1))
        record = BatchRecord(f"batch_{name}", "p", "key_1", URL, f"file-{name}", 1000, 2000)
        await self.store.add_batch(replace(record, **changes), 99)
        return record

    async def held(self) -> Hold:
        record = await self.store.claim_batch("me", 60)
        assert record is not None
        return Hold(self.tools, record, "me")

    async def work(self) -> BatchRecord:
        hold = await self.held()
        await Run(self.tools, hold).work()
        return hold.record

    async def output(self, file_id: str | None) -> list[str]:
        if file_id is None:
            return []
        async with self.contents.reading(file_id) as reader:
            return sorted(json.loads(line)["custom_id"] for line in (await reader.read(1 << 20)).splitlines())

    def scratch(self) -> list[str]:
        return sorted(place.name for place in self.contents.scratch.iterdir())


@asynccontextmanager
async def shop(folder: Path, **settings: Any) -> AsyncIterator[Shop]:
    store = await open_durable("sqlite:///portico.db", folder)
    try:
        yield Shop(store, folder / "files", **settings)
    finally:
        await store.close()


def all_of(number: int) -> list[str]:
    return sorted(f"r{at}" for at in range(number))


async def test_from_its_lines_to_its_outputs(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.batch(50)
        one.say = lambda name: GatewayError("no") if name.endswith("7") else BODY
        record = await one.work()
        assert record.status == "completed" and sorted(one.asked) == all_of(50)
        assert (record.counts.total, record.counts.completed, record.counts.failed) == (50, 45, 5)
        assert (record.tokens.prompt, record.tokens.completion) == (90, 45)
        found = await one.output(record.output_file_id) + await one.output(record.error_file_id)
        assert sorted(found) == all_of(50)
        kept = await one.store.file("p", record.output_file_id or "")
        assert (kept.purpose, kept.expires_at) == ("batch_output", 1000 + 86_400)
        assert one.scratch() == []


async def test_a_line_that_was_left_is_heard_of_no_more(tmp_path: Path) -> None:
    """Its answer may still be on its way to a store when others decide about it: two results it must not have."""
    async with shop(tmp_path) as one:
        await one.batch(1)
        hold, answers = await one.held(), list[LineAnswer]()
        await hold.look_at_key()

        def start(call: Call, answer: LineAnswer) -> Flow:
            answers.append(answer)
            return Flow()

        tools = dataclasses.replace(one.tools, start=start)
        flight = Flight(tools, hold, tools.kinds[URL])
        waiting = Waiting(1, BatchLine("r0", "POST", URL, Raw(b'{"name": "r0"}')))
        flight.start(waiting, await flight.call(waiting.line))
        assert flight.leave() == [waiting]
        answers[0]._ended(BODY)
        assert flight.take_ended() == [] and not flight.changed.is_set()
        assert tools.room.in_flight == 0


async def test_its_time_is_over_by_the_clock(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.batch(50)
        one.say = lambda name: BODY if len(one.asked) <= 10 else None
        hold = await one.held()
        working = asyncio.create_task(Run(one.tools, hold).work())
        await eventually(lambda: len(one.flows) == 18)
        one.now = 1999.0
        await asyncio.sleep(0.2)
        assert not working.done()
        one.now = 2000.0
        await working
        assert hold.record.status == "expired"
        assert (hold.record.counts.completed, hold.record.counts.failed) == (10, 40)
        assert sum(flow.left for flow in one.flows) == 8
        found = await one.output(hold.record.output_file_id) + await one.output(hold.record.error_file_id)
        assert sorted(found) == all_of(50)


async def test_killed_with_a_torn_line_and_then_cancelled(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        record = await one.batch(50, status="cancelling")
        journal = Journal(one.contents.scratch, record.id)
        journal.open()
        journal.append([answered(record.id, number, f"r{number}", "req_1", BODY) for number in range(3)])
        journal.close()
        with journal.place("output").open("ab") as file:
            file.write(b'{"id": "batch_req_1_4", "custom_')
        record = await one.work()
        assert (record.status, record.counts.completed, one.asked) == ("cancelled", 3, [])
        assert await one.output(record.output_file_id) == ["r0", "r1", "r2"]


@pytest.mark.parametrize("step", ["put", "add_file", "keep_batch"])
async def test_killed_at_any_step_of_its_end(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop(tmp_path) as one:
        await one.batch(5)
        target = one.contents if step == "put" else one.store
        plain = getattr(target, step)

        async def killed(*arguments: Any) -> Any:
            record = arguments[3](await one.store.batch("p", "batch_1")) if step == "keep_batch" else None
            if step == "keep_batch" and record is not None and record.status != "completed":
                return await plain(*arguments)
            if step != "keep_batch":
                await plain(*arguments)
            raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(target, step, killed)
            with pytest.raises(RuntimeError):
                await one.work()
        before = await one.store.batch("p", "batch_1")
        assert before.status == "finalizing"
        await one.store.keep_batch("batch_1", "me", 0, lambda record: record)
        record = await one.work()
        assert record.status == "completed" and len(one.asked) == 5
        assert await one.output(record.output_file_id) == all_of(5)
        assert len(await one.store.files("p", purpose="batch_output")) == 1
        assert one.scratch() == []


async def test_what_is_finalizing_is_not_run_any_more(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        record = await one.batch(5)
        await one.store.change_batch("p", record.id, lambda one: finalizing(one, "expired", (), 1500))
        record = await one.work()
        assert (record.status, one.asked, record.output_file_id) == ("expired", [], None)


async def test_a_hold_that_is_lost_ends_the_work(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.batch(50)
        one.say = lambda name: None
        hold = await one.held()
        run = Run(one.tools, hold)

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(hold.beat(run.note, run.heard))
                await run.work()

        working = asyncio.create_task(both())
        await eventually(lambda: len(one.flows) == 8)
        one.store._clock = lambda: 1e10  # it has run out, as the store sees it
        assert await one.store.claim_batch("other", 60) is not None
        with pytest.raises(ExceptionGroup) as ended:
            await working
        assert ended.group_contains(Lost) and all(flow.left for flow in one.flows)
        assert (await one.store.batch("p", "batch_1")).status == "in_progress"


async def test_a_store_that_is_down_is_asked_again_for_as_long_as_the_hold_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(tmp_path) as one:
        await one.batch(1)
        hold = await one.held()
        plain, tries = one.store.keep_batch, 0

        async def flaky(*arguments: Any) -> BatchRecord:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise StoreDown("away")
            return await plain(*arguments)

        monkeypatch.setattr(one.store, "keep_batch", flaky)
        await hold.change(lambda record: record)
        assert tries == 4
        tries = -1000
        with pytest.raises(StoreDown):
            await hold.change(lambda record: record)


async def test_a_full_disk_leaves_the_batch_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop(tmp_path) as one:
        await one.batch(5)

        def full(*_: object) -> None:
            raise StorageFull("full")

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "append", full)
            with pytest.raises(StorageFull):
                await one.work()
        assert (await one.store.batch("p", "batch_1")).status == "in_progress"
        await one.store.keep_batch("batch_1", "me", 0, lambda record: record)
        assert (await one.work()).counts.completed == 5


async def test_an_input_that_is_on_another_machine(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.batch(5)
        await one.contents.remove("file-1")
        with pytest.raises(StoreDown, match="not where this process looks"):
            await one.work()
        assert (await one.store.batch("p", "batch_1")).status == "validating"


# The runner


@asynccontextmanager
async def running(one: Shop, grace_s: float = 0.1) -> AsyncIterator[BatchRunner]:
    runner = BatchRunner(one.tools, grace_s)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


async def becomes(one: Shop, wanted: str, name: str = "1") -> BatchRecord:
    async def status() -> str:
        return (await one.store.batch("p", f"batch_{name}")).status

    await until(status, wanted, 8)
    return await one.store.batch("p", f"batch_{name}")


async def test_a_runner_takes_up_what_another_has_left(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.batch(30)
        one.say = lambda name: BODY if len(one.asked) <= 10 else None
        async with running(one):
            await eventually(lambda: len(one.asked) == 18)
        one.say = lambda name: BODY
        async with running(one):
            record = await becomes(one, "completed")
        assert len(one.asked) == 18 + 20
        assert await one.output(record.output_file_id) == all_of(30)


async def test_a_key_that_was_revoked_ends_it(tmp_path: Path) -> None:
    async with shop(tmp_path) as one:
        await one.batch(30)
        one.say = lambda name: None
        async with running(one):
            await eventually(lambda: len(one.asked) == 8)
            one.owner_error = InvalidApiKey("revoked")
            record = await becomes(one, "failed")
        assert [error.code for error in record.errors] == ["invalid_api_key"]
        assert all(flow.left for flow in one.flows)


async def test_one_that_can_run_nothing_makes_place(tmp_path: Path) -> None:
    """The first is over its limits for ever; with one place for all, the second has its turn."""
    async with shop(tmp_path, running=1) as one:
        await one.batch(3, "1")
        one.say = lambda name: TooManyRequests("later", retry_after=60)
        async with running(one):
            await becomes(one, "in_progress")
            await eventually(lambda: one.asked)
            await one.batch(3, "2")
            one.say = lambda name: BODY
            await becomes(one, "completed", "2")


async def test_one_that_had_its_turn_makes_place_and_loses_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path, running=1) as one:
        await one.batch(400, "1")
        await one.batch(3, "2")
        loop = asyncio.get_running_loop()

        def start(call: Call, answer: LineAnswer) -> Flow:
            one.asked.append(call.body["name"])
            loop.call_later(0.02, answer._ended, BODY)
            return Flow()

        one.tools = dataclasses.replace(one.tools, start=start)
        async with running(one, 5):
            await becomes(one, "completed", "2")
            assert (await one.store.batch("p", "batch_1")).status == "in_progress"
            record = await becomes(one, "completed", "1")
        assert await one.output(record.output_file_id) == all_of(400)
        assert len(one.asked) == 403
