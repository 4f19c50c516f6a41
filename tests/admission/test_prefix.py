"""The name of a prompt's beginning: the same through a conversation, another for another one, another project."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from server.admission.prefix import prefix_of
from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.openai.parse import CHAT, COMPLETION, parse

TENANT = Project("proj_a", "a")
KEY = Key("key_a", "a", TENANT)
SYSTEM = {"role": "system", "content": "You are a helpful clerk. " * 200}


def call(key: Key = KEY, **body: Any) -> Call:
    raw = msgspec.json.encode({"model": "m"} | body)
    request = parse(CHAT, raw, 64) if "messages" in body else parse(COMPLETION, raw, 64)
    model = ServedModel("m", Model(engines=("one",)), 0)
    return Call("req", "chat.completions", key, model, request, False, False, size=len(raw))


def chat(*texts: str, system: dict[str, str] = SYSTEM, **more: Any) -> int | None:
    roles = ("user", "assistant")
    turns = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return prefix_of(call(messages=[system, *turns], **more))


def test_all_turns_of_a_conversation_have_one() -> None:
    first = chat("Where is Ghent?")
    assert first is not None
    assert chat("Where is Ghent?", "In Belgium.", "And Bruges?") == first


def test_another_conversation_has_another() -> None:
    assert chat("Where is Ghent?") != chat("Where is Bruges?")


def test_instructions_that_differ_late_are_others() -> None:
    longer = {"role": "system", "content": SYSTEM["content"] + "Be brief."}
    assert chat("Where is Ghent?", system=longer) != chat("Where is Ghent?")


def test_a_long_document_before_different_questions_is_one() -> None:
    document = "All men are mortal. " * 400
    assert chat(document + "Who is mortal?") == chat(document + "Is Socrates?")


def test_a_client_can_say_what_belongs_together() -> None:
    assert chat("Where is Ghent?", prompt_cache_key="shop") == chat("Where is Bruges?", prompt_cache_key="shop")
    assert chat("Where is Ghent?", prompt_cache_key="shop") != chat("Where is Ghent?", prompt_cache_key="desk")


def test_projects_are_apart() -> None:
    other = dataclasses.replace(KEY, project=Project("proj_b", "b"))
    prompt = "Once upon a time " * 100
    assert prefix_of(call(prompt=prompt)) != prefix_of(call(other, prompt=prompt))


def test_short_prompts_have_none() -> None:
    assert prefix_of(call(messages=[{"role": "user", "content": "Hello!"}])) is None


@pytest.mark.parametrize("content", [[{"type": "text", "text": "Ghent? " * 100}], "Ghent? " * 100])
def test_text_in_parts_is_text(content: object) -> None:
    whole = prefix_of(call(messages=[{"role": "user", "content": "Ghent? " * 100}]))
    assert prefix_of(call(messages=[{"role": "user", "content": content}])) == whole


def test_it_is_the_same_in_every_process() -> None:
    """Python's own hashes are not."""
    program = "from tests.admission.test_prefix import chat; print(chat('Where is Ghent?'))"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{chat('Where is Ghent?')}\n"}
