"""Files and batches, put together: where contents are, what lines become, what runs beside requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from time import time

from fastapi import APIRouter

from server.api.batches import batch_routes
from server.api.calls import CallFactory
from server.api.files import file_routes
from server.api.http import new_request_id
from server.api.pooling import PooledCollector
from server.auth.keys import KeyRing
from server.auth.owners import KeyOwners
from server.batches.answer import LineAnswer, collected
from server.batches.journal import FolderOutputs
from server.batches.outputs import Outputs
from server.batches.room import Room, Standing, standing_of
from server.batches.runner import BatchRunner
from server.batches.segments import SegmentedOutputs
from server.batches.tools import LineKind, Tools
from server.call import Call
from server.config import Config, Files, home
from server.duty import Duty, Repeated
from server.engines.engine import Engine
from server.files.library import Library
from server.files.probe import BucketProbe
from server.files.sweeper import DEFAULT_PACE, DUTY, FileSweeper
from server.gateway import Gateway, Trip
from server.openai.collect import Collector
from server.stores.bucket_contents import BucketContents
from server.stores.files import Contents, Objects
from server.stores.folder import FolderContents
from server.stores.sql.store import SqlStore
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import Tracer


@dataclass(frozen=True)
class Batching:
    """The runner ends before what its lines need does."""

    routers: tuple[APIRouter, ...]
    runner: BatchRunner
    rest: tuple[Repeated, ...]


def line_kinds(factory: CallFactory, responses: LineKind) -> dict[str, LineKind]:
    """What may be in a batch, by the path of its endpoint. Adding one is a line here."""
    return {
        "/v1/chat/completions": LineKind("chat.completions", factory.chat, collected(Collector)),
        "/v1/completions": LineKind("completions", factory.completion, collected(Collector)),
        "/v1/responses": responses,
        "/v1/embeddings": LineKind("embeddings", factory.embedding, collected(PooledCollector)),
    }


def batching(
    config: Config,
    durable: SqlStore,
    keys: KeyRing,
    factory: CallFactory,
    gateway: Gateway,
    fleets: Mapping[str, Sequence[Engine]],
    tracer: Tracer,
    metrics: Metrics,
    responses: LineKind,
) -> Batching:
    """`fleets`: the engines of each model."""
    contents, outputs, probes = _places(config.files, metrics)
    library, kinds = Library(durable, contents, config.files), line_kinds(factory, responses)

    def start(call: Call, answer: LineAnswer) -> Trip:
        call.trace = tracer.begin(None)
        return gateway.start(call, answer)

    tools = Tools(
        store=durable,
        contents=contents,
        outputs=outputs,
        kinds=kinds,
        owner=KeyOwners(keys, durable, config.limits.default).key,
        start=start,
        new_id=new_request_id,
        room=Room(config.batches.max_in_flight, config.batches.share, _standing(fleets)),
        counted=metrics.batches,
        settings=config.batches,
        longest_line=config.server.max_body_bytes,
        output_days=config.files.expires_days,
        clock=time,
    )
    runner = BatchRunner(tools, config.server.shutdown_grace_s)
    routers = (
        file_routes(library, keys, config.server, config.files.max_file_bytes),
        batch_routes(durable, kinds, keys, config.server, config.batches.max_open, runner.wake),
    )
    sweeper = Duty(durable, DUTY, FileSweeper(durable, contents).sweep, DEFAULT_PACE)
    return Batching(routers, runner, (sweeper, *probes))


def _places(files: Files, metrics: Metrics) -> tuple[Contents, Callable[[str], Outputs], tuple[BucketProbe, ...]]:
    """Where contents are, where batches that run keep what they have, and who looks whether that can be used."""
    folder = home() / files.folder
    if files.storage is None:
        contents = FolderContents(folder)
        return contents, partial(FolderOutputs, contents), ()
    bucket: Objects = import_module("server.stores.bucket").Bucket(files.storage)
    kept = BucketContents(bucket, folder / "scratch")
    probe = BucketProbe(kept.probe, partial(metrics.stores.up, "files"))
    return kept, partial(SegmentedOutputs, bucket, kept), (probe,)


def _standing(fleets: Mapping[str, Sequence[Engine]]) -> Standing:
    def of(model: str) -> tuple[int, int]:
        return standing_of((engine.in_flight, engine.capacity, engine.usable) for engine in fleets[model])

    return of
