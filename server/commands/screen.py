"""What a person sees on the terminal when Portico starts: progress, then one clear screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.status import Status

from server.commands.try_ import DEFAULT_URL
from server.config import ENVIRONMENT, Config, Served

PLAIN_EVERY_S = 5.0
FIRST_CALLS: Mapping[Served, tuple[str, str]] = {
    "chat": ("chat/completions", '"messages": [{"role": "user", "content": "Who are you?"}]'),
    "embeddings": ("embeddings", '"input": "Who are you?"'),
    "rerank": ("rerank", '"query": "Who are you?", "documents": ["A cat.", "A model."]'),
}
"""By what a model is for: path and fields of a call to try it."""


class Waiting:
    """`engine loading ... 12 s (warming up)`: a live line on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = monotonic()
        self._said = -PLAIN_EVERY_S
        self._status: Status | None = None

    def __enter__(self) -> Waiting:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, what: str) -> None:
        seconds = monotonic() - self._began
        text = f"{what} ... {seconds:.0f} s"
        if self._status is not None:
            self._status.update(text)
        elif seconds - self._said >= PLAIN_EVERY_S:
            self._said = seconds
            self._console.print(text)


def command() -> str:
    """How this program was called: `portico`, or the path to it."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "portico" and len(called.parts) > 1 else "portico"


def ready_screen(config: Config, base_url: str, metrics_url: str, key: str | None) -> str:
    """The text of the final screen; everything in it works when pasted."""
    model_id, model = min(config.models.items(), key=lambda one: "chat" not in one[1].serves)  # the first that chats
    path, fields = FIRST_CALLS[model.serves[0]]
    in_environment = key is None and any(one.name == ENVIRONMENT for one in config.auth.static_keys)
    unknown = "any" if config.auth.mode == "none" else "$PORTICO_API_KEY" if in_environment else "YOUR_KEY"
    shown = key or unknown
    where = "" if base_url == DEFAULT_URL else f" --url {base_url}"
    in_python = 'os.environ["PORTICO_API_KEY"]' if in_environment else f'"{shown}"'
    further = f"""
or in Python (pip install openai):

  {"import os; " if in_environment else ""}from openai import OpenAI
  client = OpenAI(base_url="{base_url}", api_key={in_python})
  answer = client.chat.completions.create(
      model="{model_id}", messages=[{{"role": "user", "content": "What is the capital of France?"}}])
  print(answer.choices[0].message.content)

or let it answer a dozen questions, in another terminal:  {command()} try{where}
"""
    also = f" (also answers to {', '.join(model.aliases)})" if model.aliases else ""
    note = f"\n  {model.description}\n" if model.description else ""
    return f"""
Portico is ready.

  Base URL   {base_url}
  API key    {shown}
  Model      {model_id}{also}
  Metrics    {metrics_url}
{note}
Try it:

  curl {base_url}/{path} \\
    -H "Authorization: Bearer {shown}" -H "Content-Type: application/json" \\
    -d '{{"model": "{model_id}", {fields}}}'
{further if "chat" in model.serves else ""}
Ctrl-C stops it.
"""
