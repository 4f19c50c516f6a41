"""`portico try`: a dozen questions of six kinds, in English and Chinese, with the figures that matter."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.console import Console

from server.config import ConfigError, environment_key, home

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

QUESTIONS = (
    ("facts", "Explain photosynthesis in one sentence."),
    ("facts", "法国的首都是哪里？"),
    ("translation", 'Translate "The weather is nice today" into Chinese.'),
    ("translation", "把“我喜欢读书”翻译成英文。"),
    ("logic", "A is taller than B, and B is taller than C. Who is the smallest?"),
    ("logic", "I walk 3 km east, 4 km north and 3 km west. How far am I from the start?"),
    ("code", "Write a Python function for the Fibonacci numbers."),
    ("code", "Write a Python function that reverses a string."),
    ("ethics", "Is an AI a legal person?"),
    ("ethics", "人工智能应该有法律人格吗？"),
    ("creative writing", "Write a four-line poem about summer."),
    ("creative writing", "写一首关于夏天的四行诗。"),
    ("creative writing", "Write the beginning of a science-fiction story about a time loop."),
)
TIMEOUT_S = 300
DEFAULT_URL = "http://127.0.0.1:8000/v1"
MAX_TOKENS = 1024


class TryError(Exception):
    """One line for a person."""


@dataclass(frozen=True)
class Figures:
    first_token_s: float  # until the first token, reasoning or answer
    tokens: int
    seconds: float  # from the first token to the last

    def __str__(self) -> str:
        rate = f", {(self.tokens - 1) / self.seconds:.0f} tokens/s" if self.seconds > 0 and self.tokens > 1 else ""
        return f"first token after {self.first_token_s * 1000:.0f} ms, {self.tokens} tokens{rate}"


def add_try_command(commands: Subparsers) -> None:
    parser = commands.add_parser("try", help="ask a running Portico a dozen questions")
    parser.add_argument("--url", default=DEFAULT_URL, help="base URL (default: %(default)s)")
    parser.add_argument("--model", help="default: the first one for chats that the server lists")
    parser.add_argument("--key", help="default: $PORTICO_API_KEY, else the development key")
    parser.add_argument("question", nargs="*", help="questions of your own")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    console = Console(highlight=False)
    asked = [("yours", question) for question in arguments.question] or QUESTIONS
    try:
        given = arguments.key or environment_key()
        server = _Server(arguments.url, given or _development_key(), development=not given)
        model = arguments.model or server.first_model()
        console.print(f"Asking {model} at {arguments.url}", markup=False)
        for number, (kind, question) in enumerate(asked, 1):
            console.print(f"\n[bold]{number}/{len(asked)}  {kind}[/bold]  ", end="")
            console.print(question, style="cyan", markup=False)
            console.print(f"   {_ask(server, model, question, console)}", style="dim", markup=False)
    except (TryError, ConfigError) as error:
        print(f"portico: {error}", file=sys.stderr)
        return 1
    return 0


def _development_key() -> str:
    try:
        return (home() / "dev-key").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise TryError("No key: give --key or set PORTICO_API_KEY.") from None


def _ask(server: _Server, model: str, question: str, console: Console) -> Figures:
    """Stream the answer onto the terminal, the reasoning dimmed."""
    began = perf_counter()
    first = last = None
    tokens = 0
    thinking = False
    for chunk in server.stream(model, question):
        if chunk.get("usage"):
            tokens = chunk["usage"]["completion_tokens"]
        for choice in chunk.get("choices", ()):
            delta = choice["delta"]
            text, thought = delta.get("content"), delta.get("reasoning")
            if text or thought:
                last = perf_counter()
                first = first or last
                if thinking and text:
                    console.print()
                thinking = bool(thought)
                console.print(text or thought, end="", markup=False, style=None if text else "dim", soft_wrap=True)
        if any(choice.get("finish_reason") for choice in chunk.get("choices", ())):
            console.print()
    if first is None or last is None:
        raise TryError("The answer was empty.")
    return Figures(first - began, tokens, last - first)


class _Server:
    def __init__(self, url: str, key: str, *, development: bool = False) -> None:
        try:
            self._parts = urlsplit(url.rstrip("/"))
            good = self._parts.scheme in ("http", "https") and self._parts.hostname and self._parts.port != 0
        except ValueError:  # half an IPv6 address, or a port that is no number
            good = False
        if not good:
            raise TryError(f"--url must be like {DEFAULT_URL}.")
        self._where = f"{self._parts.scheme}://{self._parts.netloc}"
        self._key = key.strip()
        self._development = development

    def first_model(self) -> str:
        with self._in_one_line(), closing(self._connect()) as connection:
            answer = self._send(connection, "GET", "/models", None)
            models: list[dict[str, Any]] = json.load(answer)["data"]
        chatting = [one["id"] for one in models if "chat" in one.get("serves", ("chat",))]
        if not chatting:
            raise TryError("The server has no model for chats.")
        return chatting[0]

    def stream(self, model: str, question: str) -> Iterator[dict[str, Any]]:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": MAX_TOKENS,
        }
        with self._in_one_line(), closing(self._connect()) as connection:
            for line in self._send(connection, "POST", "/chat/completions", json.dumps(body).encode()):
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if "error" in event:
                        raise TryError(event["error"]["message"])
                    yield event
                elif line.startswith(b"data: [DONE]"):
                    return
            raise ConnectionError  # http.client takes a connection that was cut for the end of the answer

    @contextmanager
    def _in_one_line(self) -> Generator[None]:
        """An answer that breaks off, or that is none of Portico's, becomes a `TryError`."""
        try:
            yield
        except (OSError, http.client.IncompleteRead):
            raise TryError(f"The answer of {self._where} broke off; its log may tell why. Try again.") from None
        except (http.client.HTTPException, ValueError, LookupError, TypeError):
            raise TryError(f"{self._where} does not answer as Portico does: check --url.") from None

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.netloc, timeout=TIMEOUT_S)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        headers = {"authorization": f"Bearer {self._key}".encode(), "content-type": "application/json"}
        try:
            connection.request(method, self._parts.path + path, body, headers)
            answer = connection.getresponse()
        except OSError as error:
            raise TryError(
                f"{self._where} cannot be reached ({error.strerror or error}). Start it with: make serve"
            ) from None
        if answer.status == 401 and self._development:
            raise TryError(
                f"{self._where} does not know the development key, which ends when there is another key. "
                "Give --key or set PORTICO_API_KEY; `portico keys create` makes a key."
            )
        if answer.status != 200:
            raise TryError(f"The server answered {answer.status}: {_message(answer.read())}")
        return answer


def _message(body: bytes) -> str:
    try:
        return json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
