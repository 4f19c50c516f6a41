"""A short name for how a prompt begins: calls with the same one find each other's work in an engine's KV cache. Pure.

The instructions and the beginning of the first words of the user say which conversation it is, and stay the same in
all its turns. A client that knows better says so in `prompt_cache_key`. Projects are apart, as they are in the cache.
It costs about 3 us, whatever the size of the prompt: of each text a piece is looked at.
"""

from __future__ import annotations

from hashlib import blake2b

from server.call import Call
from server.openai.chat_request import (
    ChatRequest,
    CompletionRequest,
    DeveloperMessage,
    Message,
    SystemMessage,
    TextPart,
)

LEAST = 512  # bytes of a request: what is shorter is computed as soon as it is looked up
PIECE = 1024  # letters of a text


def prefix_of(call: Call) -> int | None:
    """64 bits, the same in every process; None where the prompt is too short for it to matter, or is not continued."""
    if call.size < LEAST or not call.generates:
        return None
    digest = blake2b(call.key.project.id.encode(), digest_size=8)
    body = call.body
    if isinstance(body, CompletionRequest):
        prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
        digest.update(_piece(prompt))
    elif isinstance(body, ChatRequest) and body.prompt_cache_key:
        digest.update(b"key" + _piece(body.prompt_cache_key))
    elif isinstance(body, ChatRequest):
        for message in body.messages:
            digest.update(_begins(message))
            if not isinstance(message, SystemMessage | DeveloperMessage):
                break
    return int.from_bytes(digest.digest())


def _begins(message: Message) -> bytes:
    """How a message begins. Of instructions the length too: the end of a long one may tell two of them apart."""
    content = message.content
    if isinstance(content, list):
        text = next((part.text for part in content if isinstance(part, TextPart)), "")
    else:
        text = content or ""
    instructs = isinstance(message, SystemMessage | DeveloperMessage)
    return (b"%d\0" % len(text) if instructs else b"") + _piece(text)


def _piece(text: str) -> bytes:
    return text[:PIECE].encode(errors="surrogatepass") + b"\0"
