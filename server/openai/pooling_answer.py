"""The answers of embedding and rerank models, without IO: from an engine's bytes to those that leave.

Vectors are most of the traffic of a service that has them: 2,048 of them, each of 3,072 numbers, are 30 to 130 MB. They
are passed on as the bytes they came in, a piece at a time. Only what stands around them is read: it is the engine's,
and another is put in its place, with the public name of the model.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from struct import pack

import msgspec
from msgspec import Struct, UnsetType

from server.openai.chunks import ENCODER, TextChunk, Usage
from server.openai.events import Batch, ChunkEvent, Event
from server.openai.reader import EngineAnswerError

MOST_HELD = 262_144  # bytes; a shorter answer leaves in one piece, and its engine may fail before without harm
PIECE = 65_536
MOST_WHOLE = 64 * 1024 * 1024
HEAD = 16_384  # what stands in front of the vectors must come within so much
TAIL = 4096  # ... and what stands behind them within so much
TRIES = 8
INDENT = 64  # white space in front of a bracket

_LIST = re.compile(rb'"data"\s*:\s*\[')
Counted = Callable[[int], Usage]
"""From the tokens that the engine told, 0 for none, to the usage of the call."""


class PooledChunk(TextChunk, omit_defaults=True):
    """A piece of the JSON that leaves, with the usage beside the last. A chunk, so that it is metered as all are."""

    data: bytes = b""


def data_of(event: Event) -> bytes:
    """Of the events that the readers here make; there are no others in such an answer."""
    assert isinstance(event, ChunkEvent) and isinstance(event.chunk, PooledChunk)  # noqa: S101
    return event.chunk.data


class _EngineUsage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _ToldUsage(Struct, omit_defaults=True):
    prompt_tokens: int
    total_tokens: int
    estimated: bool = False


class _Envelope(Struct):
    """An answer without its vectors."""

    data: list[msgspec.Raw]
    usage: _EngineUsage | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)


class EmbeddingReader:
    """Feed it the body of an answer of any engine that has OpenAI's shape. `done` when all of it was there."""

    failure: EngineAnswerError | None = None

    def __init__(self, model: str, counted: Counted) -> None:
        self._model = model
        self._counted = counted
        self._held = bytearray()
        self._before = b""  # the engine's own beginning, up to the list; empty until that has come
        self._first = b""  # ours, until it has left
        self.done = False

    def feed(self, data: bytes) -> Batch:
        """Raises `EngineAnswerError` for what is no list of vectors."""
        held = self._held
        held += data
        if len(held) < (PIECE if self._before else MOST_HELD):
            return []
        self._begin()
        piece = bytes(held[:-TAIL])
        del held[:-TAIL]
        return [_event(self._leaving(piece))]

    def end(self) -> Batch | None:
        """The body ends here: what was held, and the usage. None where the end of the list is missing."""
        self._begin()
        end = self._end_of_list()
        if end is None:
            return None
        at, told = end
        usage = self._counted(_prompt_tokens(told))
        rest = bytes(self._held[:at])
        self.done = True
        return [_event(self._leaving(b'%b],"usage":%b}' % (rest, _usage_json(usage))), usage)]

    def _begin(self) -> None:
        if self._before:
            return
        found = _LIST.search(self._held, 0, HEAD)
        if found is None:
            raise EngineAnswerError("no list of vectors", bytes(self._held[:HEAD]))
        self._before = bytes(self._held[: found.end()])
        del self._held[: found.end()]
        self._first = b'{"object":"list","model":%b,"data":[' % ENCODER.encode(self._model)

    def _leaving(self, piece: bytes) -> bytes:
        first, self._first = self._first, b""
        return first + piece

    def _end_of_list(self) -> tuple[int, _EngineUsage | None] | None:
        """Where in what is held the list ends: at the last bracket behind an item (or behind nothing, where there are
        none) after which the envelope is whole.
        """
        at = len(self._held)
        for _ in range(TRIES):
            at = self._held.rfind(b"]", 0, at)
            if at < 0:
                return None
            item = self._held[max(at - INDENT, 0) : at].rstrip()
            if not item.endswith(b"}") and (item or not self._first):
                continue
            try:
                return at, _ENVELOPE.decode(self._before + self._held[at:]).usage
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return None


class WholeReader:
    """Of what can only be read when all of it is there. `_read` does that."""

    failure: EngineAnswerError | None = None

    def __init__(self) -> None:
        self._held = bytearray()
        self.done = False

    def feed(self, data: bytes) -> Batch:
        """Raises `EngineAnswerError` for too much."""
        self._held += data
        if len(self._held) > MOST_WHOLE:
            raise EngineAnswerError("an answer too large")
        return []

    def end(self) -> Batch | None:
        """Raises `EngineAnswerError`."""
        try:
            last = self._read(self._held)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            raise EngineAnswerError("an answer of another shape", bytes(self._held[:HEAD])) from None
        self.done = True
        return [last]

    def _read(self, body: bytearray) -> ChunkEvent:
        raise NotImplementedError


class _Vector(Struct):
    index: int
    embedding: str | list[float]


class _Vectors(Struct):
    data: list[_Vector]
    usage: _EngineUsage | None = None


class _TextVector(Struct):
    index: int
    embedding: str
    object: str = "embedding"


class _TextVectors(Struct):
    object: str
    model: str
    data: list[_TextVector]
    usage: _ToldUsage


_VECTORS = msgspec.json.Decoder(_Vectors)


class Base64Reader(WholeReader):
    """For makes that may answer with numbers where base64 was asked for: makes that of them."""

    def __init__(self, model: str, counted: Counted) -> None:
        super().__init__()
        self._model = model
        self._counted = counted

    def _read(self, body: bytearray) -> ChunkEvent:
        answer = _VECTORS.decode(body)
        usage = self._counted(_prompt_tokens(answer.usage))
        data = [_TextVector(one.index, _as_base64(one.embedding)) for one in answer.data]
        return _event(ENCODER.encode(_TextVectors("list", self._model, data, _told(usage))), usage)


class _MetaInfo(Struct):
    prompt_tokens: int | None = None


class _Scored(Struct):
    """`relevance_score` in the shape of Jina and Cohere, `score` and `meta_info` in SGLang's."""

    index: int
    relevance_score: float | None = None
    score: float | None = None
    meta_info: _MetaInfo | None = None


class _Results(Struct):
    results: list[_Scored]
    usage: _EngineUsage | None = None


class _Text(Struct):
    text: str


class _Result(Struct, omit_defaults=True):
    index: int
    relevance_score: float
    document: _Text | UnsetType = msgspec.UNSET


class _Ranking(Struct):
    id: str
    model: str
    results: list[_Result]
    usage: _ToldUsage


_RANKED: msgspec.json.Decoder[_Results | list[_Scored]] = msgspec.json.Decoder(_Results | list[_Scored])


class RerankReader(WholeReader):
    """Every engine's answer, in order and cut to `top_n`: not all do that. `documents` are those of the request,
    None to leave them out.
    """

    def __init__(
        self, request_id: str, model: str, counted: Counted, number: int, top_n: int | None, documents: list[str] | None
    ) -> None:
        super().__init__()
        self._id = request_id
        self._model = model
        self._counted = counted
        self._number = number
        self._top_n = top_n
        self._documents = documents

    def _read(self, body: bytearray) -> ChunkEvent:
        answer = _RANKED.decode(body)
        scored = answer if isinstance(answer, list) else answer.results
        best = sorted(map(self._result, scored), key=lambda one: (-one.relevance_score, one.index))[: self._top_n]
        if self._documents is not None:
            for one in best:
                one.document = _Text(self._documents[one.index])
        told = None if isinstance(answer, list) else answer.usage
        tokens = _prompt_tokens(told) or sum((one.meta_info and one.meta_info.prompt_tokens) or 0 for one in scored)
        usage = self._counted(tokens)
        return _event(ENCODER.encode(_Ranking(self._id, self._model, best, _told(usage))), usage)

    def _result(self, one: _Scored) -> _Result:
        """Raises ValueError for one that is not of this request, or without a score."""
        score = one.score if one.relevance_score is None else one.relevance_score
        if score is None or not 0 <= one.index < self._number:
            raise ValueError
        return _Result(one.index, score)


def _event(data: bytes, usage: Usage | None = None) -> ChunkEvent:
    return ChunkEvent(PooledChunk("", "", 0, "", [], usage, data=data))


def _prompt_tokens(told: _EngineUsage | None) -> int:
    return 0 if told is None else told.prompt_tokens or told.total_tokens or 0


def _told(usage: Usage) -> _ToldUsage:
    return _ToldUsage(usage.prompt_tokens, usage.prompt_tokens, usage.estimated)


def _usage_json(usage: Usage) -> bytes:
    return ENCODER.encode(_told(usage))


def _as_base64(vector: str | list[float]) -> str:
    """Of floats of 32 bits, the lowest byte first, as OpenAI's SDKs read them."""
    return vector if isinstance(vector, str) else b64encode(pack(f"<{len(vector)}f", *vector)).decode()
