"""Bounds of a prompt's tokens from the size of its request, without a vocabulary. Pure.

They rest on one fact: a control token is one token, and any other token stands for at least one byte of UTF-8.

A chat. What comes before and after the messages (system message, beginning of the answer) has at most `PREAMBLE`
tokens. A message is rendered as its text, which has no more bytes than in JSON (escapes only make it longer there), and
as a header. The longest headers, in bytes and control tokens, beside the shortest JSON of such a message without text:

    system      <|start|>developer<|message|># Instructions ... <|end|>             30   {"role":"system","content":""}
    reasoning   <|start|>assistant<|channel|>analysis<|message|>...<|end|>          21   "reasoning":"",
    a call      <|start|>assistant to=functions.NAME<|channel|>commentary json...   42   {"id":...} of 47 or more
    a result    <|start|>functions.NAME to=assistant<|channel|>commentary...       101   46; its NAME is said elsewhere

so that the request's bytes and `PER_MESSAGE` more for each message are enough. An author's `name` is not rendered.

Tools are rendered as TypeScript, which can be longer than their JSON. From oss-harmony's rules: a description comes at
most twice, every other string at most once; and every line, with its indentation and signs, is due to a string or an
element of a list or object, of which there are no more than half the quotes and all of the commas and opening brackets.
A line is indented by at most 2 for each bracket it is in, the outer two left out, and has at most `PER_LINE` signs of
its own.

Models for embeddings and rerank have vocabularies of their own, of which nobody here knows more than that a token
stands for at least one byte. They put at most `PER_INPUT` tokens around an input. Of a rerank each document is read
with the query, in a template of at most `PER_PAIR` tokens. A vocabulary that first writes a sign out as several (as one
for "km/h") may exceed that by some; what a call really used is settled at its end.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from server.call import Call
from server.openai.chat_request import ChatRequest, Function, Message
from server.openai.parse import depth
from server.openai.pooling_request import EmbeddingRequest, RerankRequest

PREAMBLE = 128
PER_MESSAGE = 64
TOOLS = 96  # the developer message, its headings, `namespace functions {`
PER_TOOL = 32  # `type NAME = (_: ...) => any;`
PER_LINE = 20
PER_INPUT = 8  # [CLS] and [SEP], and the like
PER_PAIR = 160  # that of Qwen3-Reranker has about 100
_ENCODE = msgspec.json.Encoder().encode


def upper_bound(call: Call) -> int:
    """Never below the exact count. Takes time for the tools and the operator's message alone."""
    body = call.body
    if not isinstance(body, ChatRequest):
        return call.size if call.generates else _pooling_bound(call)
    bound = call.size + PREAMBLE + PER_MESSAGE * len(body.messages)
    if prompt := call.model.config.developer_prompt:
        bound += PER_MESSAGE + len(prompt.encode())
    if body.tools and body.tool_choice != "none":
        bound += TOOLS + sum(tool_bound(tool_json(tool.function)) for tool in body.tools)
    return bound


def message_bound(messages: Iterable[Message]) -> int:
    """Never below what is less without them."""
    return sum(len(_ENCODE(one)) + PER_MESSAGE for one in messages)


def _pooling_bound(call: Call) -> int:
    body: EmbeddingRequest | RerankRequest = call.body
    if isinstance(body, EmbeddingRequest):
        return call.size + PER_INPUT * body.count
    query, pairs = len(body.query.encode("utf-8", "surrogatepass")), len(body.documents)
    return call.size + (pairs - 1) * query + PER_PAIR * pairs


def tool_json(function: Function) -> bytes:
    return _ENCODE(function)


def tool_bound(tool: bytes) -> int:
    """Of one function, from its JSON."""
    lines = tool.count(b'"') // 2 + tool.count(b",") + tool.count(b"[") + tool.count(b"{")
    return PER_TOOL + 2 * len(tool) + lines * (PER_LINE + 2 * max(depth(tool) - 2, 0))
