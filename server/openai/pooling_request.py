"""The bodies of POST /v1/embeddings and /v1/rerank. As with the other bodies, no further field passes.

Models for these pool what they read into vectors or scores, and write nothing: hence the name, which is vLLM's too.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta

from server.errors import ContextLengthExceeded, InvalidType, InvalidValue
from server.openai.chat_request import Positive, ShortText, Strict

MOST_INPUTS = 2048  # of a request, as at OpenAI
MOST_TOKEN_IDS = 300_000  # of all inputs together, as at OpenAI
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class PoolingRequest(Strict, kw_only=True):
    """What both share."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    user: str | None = None
    guardrails: Annotated[list[ShortText], Meta(max_length=8)] | None = None  # ours: policies to look at it besides


class EmbeddingRequest(PoolingRequest, kw_only=True):
    input: str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1, max_length=MOST_INPUTS)]
    dimensions: Positive | None = None
    encoding_format: Literal["float", "base64"] | None = None

    @property
    def of_token_ids(self) -> bool:
        """Its inputs are numbers of a vocabulary that is not known here. Once it is validated."""
        return not isinstance(self.input, str) and not isinstance(self.input[0], str)

    @property
    def count(self) -> int:
        """Inputs, each of which becomes a vector."""
        return 1 if isinstance(self.input, str) or isinstance(self.input[0], int) else len(self.input)


class Document(Strict):
    text: str


class RerankRequest(PoolingRequest, kw_only=True):
    """In the shape of Jina and Cohere, which vLLM has too. Without `return_documents` they are told, as vLLM does."""

    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=MOST_INPUTS)]
    top_n: Positive | None = None
    return_documents: bool | None = None

    @property
    def texts(self) -> list[str]:
        """Of the documents."""
        return [one if isinstance(one, str) else one.text for one in self.documents]


EMBEDDING = msgspec.json.Decoder(EmbeddingRequest)
RERANK = msgspec.json.Decoder(RerankRequest)


def validate_embedding(request: EmbeddingRequest, context_length: int) -> None:
    """Raises `InvalidRequest` for inputs that are empty, mixed or too long; of texts nobody here knows the tokens."""
    inputs = request.input
    if isinstance(inputs, str):
        _refuse_empty(inputs, "input")
        return
    kind = type(inputs[0])
    for index, one in enumerate(inputs):
        where = f"input[{index}]"
        if type(one) is not kind:
            raise InvalidType(
                f"Invalid type for '{where}': all inputs must be texts, or all token ids, or all lists of token ids.",
                param=where,
            )
        if not isinstance(one, int):
            _refuse_empty(one, where)
    if kind is int:
        _check_token_ids([cast("list[int]", inputs)], ["input"], context_length)
    elif kind is list:
        lists = cast("list[list[int]]", inputs)
        _check_token_ids(lists, [f"input[{index}]" for index in range(len(lists))], context_length)


def validate_rerank(request: RerankRequest) -> None:
    """Raises `InvalidValue` for a document without text."""
    for index, text in enumerate(request.texts):
        _refuse_empty(text, f"documents[{index}]")


def _refuse_empty(value: str | list[int], where: str) -> None:
    if not value:
        raise InvalidValue(f"'{where}' is empty. Leave it out, or send some text.", param=where)


def _check_token_ids(lists: list[list[int]], places: list[str], context_length: int) -> None:
    for ids, where in zip(lists, places, strict=True):
        if len(ids) > context_length:
            raise ContextLengthExceeded(
                f"'{where}' has {len(ids)} tokens, but this model's context length is {context_length}. Send less.",
                param=where,
            )
    if sum(map(len, lists)) > MOST_TOKEN_IDS:
        raise InvalidValue(
            f"Invalid value for 'input': at most {MOST_TOKEN_IDS} token ids in all inputs together.", param="input"
        )
