"""The bytes of vLLM 0.32's own answers for gpt-oss, ready to send.

Key order, null keys and the shapes of the first, last and usage chunks are those of a real engine: vLLM writes chunks
with `exclude_unset`, so that the first one has `prompt_token_ids` and the later ones `token_ids`. Only the id, the
time and the model differ from answer to answer, and they stand at the front: everything behind is made once.
"""

from __future__ import annotations

import functools

import msgspec

FINGERPRINT = "vllm-0.32.0-e02487d4"
PROMPT_TOKENS = 120
_WORDS = (" the", " engine", " answers", " in", " text", " that", " looks", " like", " language", ",", " 可以", ' "so"')

DONE = b"data: [DONE]\n\n"


def token_texts(tokens: int) -> list[str]:
    """One piece of text per token."""
    return [_WORDS[i % len(_WORDS)] for i in range(tokens)]


def reasoning_tokens(tokens: int) -> int:
    """How many of an answer's tokens are reasoning: the first fifth."""
    return tokens // 5


def _dump(value: object) -> bytes:
    return msgspec.json.encode(value)


def unary_front(answer_id: bytes, created: int, model: str) -> bytes:
    return b'{"id":"%b","object":"chat.completion","created":%d,"model":%b,' % (answer_id, created, _dump(model))


def _usage(tokens: int, prompt: int) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + tokens,
        "completion_tokens": tokens,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens(tokens)},
    }


@functools.lru_cache(maxsize=512)
def unary_rest(tokens: int, finish: str, prompt: int = PROMPT_TOKENS) -> bytes:
    """What follows `unary_front` in an answer of so many tokens."""
    texts, cut = token_texts(tokens), reasoning_tokens(tokens)
    message = {
        "role": "assistant",
        "content": "".join(texts[cut:]),
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": "".join(texts[:cut]),
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish,
        "stop_reason": None,
        "token_ids": None,
        "routed_experts": None,
    }
    rest = {
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": _usage(tokens, prompt),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }
    return _dump(rest)[1:]


def chunk_front(answer_id: bytes, created: int, model: str) -> bytes:
    return b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,' % (
        answer_id,
        created,
        _dump(model),
    )


ROLE_REST = (
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],'
    b'"prompt_token_ids":null,"prompt_text":null}\n\n'
)


def _choice_rest(delta: dict[str, str], finish: str | None, fingerprint: bool) -> bytes:
    choice: dict[str, object] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    if finish is not None:
        choice["stop_reason"] = None
    choice["token_ids"] = None
    rest: dict[str, object] = {"choices": [choice]}
    if fingerprint:
        rest["system_fingerprint"] = FINGERPRINT
    return _dump(rest)[1:] + b"\n\n"


@functools.lru_cache(maxsize=512)
def stream_rests(tokens: int, finish: str, include_usage: bool) -> tuple[bytes, ...]:
    """What follows `chunk_front` in each chunk after the role chunk: one per token, and the finish chunk after a stop.

    An answer cut by max_tokens has its finish reason on the chunk of its last token. Without a usage chunk the chunk
    with the finish reason carries the fingerprint.
    """
    cut = reasoning_tokens(tokens)
    deltas = [{"reasoning" if i < cut else "content": text} for i, text in enumerate(token_texts(tokens))]
    if finish == "stop":
        deltas.append({})
    last = len(deltas) - 1
    return tuple(
        _choice_rest(delta, finish if i == last else None, i == last and not include_usage)
        for i, delta in enumerate(deltas)
    )


@functools.lru_cache(maxsize=512)
def usage_rest(tokens: int, prompt: int = PROMPT_TOKENS) -> bytes:
    """What follows `chunk_front` in the usage chunk (vLLM leaves null keys out of this one)."""
    usage = {key: value for key, value in _usage(tokens, prompt).items() if value is not None}
    return _dump({"choices": [], "usage": usage, "system_fingerprint": FINGERPRINT})[1:] + b"\n\n"


def models(model: str, created: int) -> bytes:
    """The answer of GET /v1/models."""
    permission = {
        "id": "modelperm-0000000000000000",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    card = {
        "id": model,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": model,
        "parent": None,
        "max_model_len": 131_072,
        "permission": [permission],
    }
    return _dump({"object": "list", "data": [card]})


def error(status: int, message: str) -> bytes:
    """vLLM's form of an error: its own type names, and the status as an integer code."""
    kind = "NotFoundError" if status == 404 else "BadRequestError"
    return _dump({"error": {"message": message, "type": kind, "param": None, "code": status}})
