"""The screen that tells how to make a first call: what it shows fits what the models are for."""

from __future__ import annotations

from typing import Any

from server.commands.screen import ready_screen
from server.config import Config
from server.policies import judging_models

E5 = {"engines": ["e"], "serves": ["embeddings", "rerank"]}
BIG = {"engines": ["e"], "engine_model": "weights"}


def config_of(**models: Any) -> Config:
    return Config.model_validate({"engines": {"e": {"url": "http://127.0.0.1:1/v1"}}, "models": models})


def test_a_model_that_chats_comes_first() -> None:
    text = ready_screen(config_of(e5=E5, big=BIG), "http://h/v1", "http://h/metrics", "sk-x")
    assert "curl http://h/v1/chat/completions" in text
    assert '"model": "big"' in text and 'model="big"' in text and "e5" not in text
    assert " try --url http://h/v1" in text


def test_without_one_the_call_is_another() -> None:
    text = ready_screen(config_of(e5=E5), "http://h/v1", "http://h/metrics", "sk-x")
    assert "curl http://h/v1/embeddings" in text and '{"model": "e5", "input": "Who are you?"}' in text
    assert "chat" not in text and " try" not in text


def test_judges_are_asked_by_a_model_that_chats() -> None:
    assert judging_models(config_of(e5=E5, big=BIG)) == {"e": "weights"}
    assert judging_models(config_of(e5=E5)) == {"e": ""}
