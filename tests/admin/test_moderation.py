"""What the administration explains of policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.moderation.build import build_matchers
from server.moderation.described import described
from server.moderation.explain import explain
from server.moderation.files import load_policy
from server.moderation.policies import Loaded
from server.moderation.ruleset import Ruleset
from server.moderation.seats import unasked
from tests.admin.conftest import Office

PATH = "/moderation/explain"
HOUSE = """
name: house
version: 7
rules:
  - {id: codename, category: own, literals: [project lantern], action: block}
  - {id: mail, category: privacy, detectors: [email], action: redact, directions: [output]}
"""


@pytest.fixture
def house(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ruleset:
    (tmp_path / "house.yaml").write_text(HOUSE)
    ruleset = Ruleset(load_policy(tmp_path / "house.yaml"), build_matchers, unasked)
    monkeypatch.setattr(office, "policies", Loaded({"house": ruleset}, None))
    return ruleset


def test_explained_as_by_the_command(office: Office, house: Ruleset) -> None:
    told = office.post(PATH, {"text": "a pr0ject-lantern", "policy": "house"})
    assert told.pop("object") == "organization.moderation.explanation"
    assert told == described(explain(house, "a pr0ject-lantern", "input", "content"), house)
    assert (told["verdict"], told["matches"][0]["normalised"]) == ("block", "project lantern")
    asked = {"text": "bob@corp.com", "policy": "house", "direction": "output", "channel": "reasoning"}
    told = office.post(PATH, asked)
    assert (told["direction"], told["channel"], told["leaves"]) == ("output", "reasoning", "[removed]")


def test_a_long_text(office: Office, house: Ruleset) -> None:
    told = office.post(PATH, {"text": "all is well " * 4000 + "project lantern", "policy": "house"})
    assert [(one["start"], one["end"]) for one in told["matches"]] == [(48_000, 48_015)]


def test_the_policy_of_the_configuration(office: Office, house: Ruleset, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = office.send("POST", PATH, {"text": "x"})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "not_found", "policy")
    assert "moderation.policy" in answer.error["message"] and "house" in answer.error["message"]
    monkeypatch.setattr(office, "policies", Loaded({"house": house}, house))
    assert office.post(PATH, {"text": "project lantern"})["policy"] == "house"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"policy": "house"}, 400, "text"),
        ({"text": 5}, 400, "text"),
        ({"text": "x", "policy": "gone"}, 404, "policy"),
        ({"text": "x", "direction": "sideways"}, 400, "direction"),
        ({"text": "x", "channel": "telepathy"}, 400, "channel"),
        ({"text": "x", "rules": []}, 400, "rules"),
    ],
)
def test_refused(office: Office, house: Ruleset, body: dict[str, object], status: int, param: str) -> None:
    answer = office.send("POST", PATH, body)
    assert (answer.status, answer.error["param"]) == (status, param)


def test_for_administrators_only(office: Office) -> None:
    assert office.send("POST", PATH, {"text": "x"}, key=None).status == 401
    key = office.new_key(office.project())["value"]
    assert office.send("POST", PATH, {"text": "x"}, key=key).status == 403
