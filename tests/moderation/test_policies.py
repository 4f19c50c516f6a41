"""Which change of which file is noticed, and that looking for one reads none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import get_ident

import pytest

from server.call import Call, Key, Project, ServedModel
from server.config import ConfigError, Model
from server.config.places import shipped
from server.errors import ModerationUnavailable
from server.moderation import policies
from server.moderation.build import build_matchers
from server.moderation.files import load_policy
from server.moderation.matches import Matcher
from server.moderation.policies import PolicyLibrary, PolicyPlaces
from server.moderation.policy import Policy, PolicyFile
from server.moderation.ruleset import Ruleset
from server.moderation.seats import unasked

HOUSE = "name: house\nversion: {}\nrules: [{{id: r, category: own, literals_file: words.txt, action: block}}]\n"


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def library(folder: Path, told: list[bool]) -> PolicyLibrary:
    return PolicyLibrary(PolicyPlaces(None, [folder], build_matchers, unasked), 3600, told.append)


async def test_a_change_of_any_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "words.txt", "bomb\n")
    write(tmp_path / "house.yaml", HOUSE.format(1))
    told: list[bool] = []
    tested = library(tmp_path, told)
    await tested.start()
    first = tested.now()
    await tested.reload()
    assert tested.now() is first and told == []
    write(tmp_path / "words.txt", "bomb\nlantern\n")
    await tested.reload()
    assert tested.now().rulesets["house"].policy.hash != first.rulesets["house"].policy.hash
    write(tmp_path / "house.yaml", HOUSE.format(22))
    await tested.reload()
    assert tested.now().rulesets["house"].policy.file.version == 22
    last = tested.now()
    await tested.reload()
    assert tested.now() is last and told == [True, True]
    await tested.stop()


async def test_a_file_that_was_missing(tmp_path: Path) -> None:
    write(tmp_path / "words.txt", "bomb\n")
    write(tmp_path / "house.yaml", HOUSE.format(1))
    told: list[bool] = []
    tested = library(tmp_path, told)
    await tested.start()
    write(tmp_path / "house.yaml", HOUSE.format(2).replace("words.txt", "others.txt"))
    await tested.reload()
    await tested.reload()
    assert told == [False], "it is told once, and the one before stays"
    assert tested.now().rulesets["house"].policy.file.version == 1
    write(tmp_path / "others.txt", "lantern\n")
    await tested.reload()
    assert (told[-1], tested.now().rulesets["house"].policy.file.version) == (True, 2)
    await tested.stop()


async def test_a_project_and_a_key_only_add(tmp_path: Path) -> None:
    for name in ("server", "team", "own", "asked"):
        write(tmp_path / f"{name}.yaml", f"name: {name}\nversion: 1\n")
    tested = PolicyLibrary(PolicyPlaces(tmp_path / "server.yaml", [tmp_path], build_matchers, unasked), 3600, [].append)
    await tested.start()

    def names(project: str | None, key: str | None, *asked: str) -> list[str]:
        one = Key("k", "k", Project("p", "p", policy=project), policy=key)
        call = Call("c", "completions", one, ServedModel("m", Model(engines=("e",)), 1), None, False, False)
        call.guards = asked
        return [ruleset.policy.name for ruleset in tested.of(call)]

    assert names(None, None) == ["server"]
    assert names("team", None) == ["server", "team"]
    assert names("team", "own", "asked") == ["server", "team", "own", "asked"]
    assert names("team", "team", "server", "team") == ["server", "team"], "each once"
    with pytest.raises(ModerationUnavailable, match="policy of this project is not loaded"):
        names("gone", "own")
    with pytest.raises(ModerationUnavailable, match="policy of this key is not loaded"):
        names("team", "gone")
    await tested.stop()


async def test_looking_for_a_change_reads_no_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "words.txt", "bomb\n")
    write(tmp_path / "house.yaml", HOUSE.format(1))
    tested = library(tmp_path, [])
    await tested.start()

    def read(*_: object) -> None:
        raise ConfigError("it was read")

    monkeypatch.setattr(policies, "load_policy", read)
    first = tested.now()
    await tested.reload()
    assert tested.now() is first
    await tested.stop()


def test_matchers_are_shared_where_sets_of_rules_are_equal() -> None:
    """A detector for requests alone must not have all literals built twice."""
    rules = [
        {"id": "words", "category": "own", "literals": ["lantern"], "action": "block"},
        {"id": "mail", "category": "own", "detectors": ["email"], "action": "redact", "directions": ["input"]},
        {"id": "card", "category": "own", "detectors": ["credit_card"], "action": "redact", "channels": ["content"]},
    ]
    file = PolicyFile.model_validate({"name": "p", "version": 1, "rules": rules})
    built: list[tuple[int, ...]] = []

    def build(policy: Policy, some: Sequence[int]) -> Sequence[tuple[Matcher, Sequence[int]]]:
        built.append(tuple(some))
        return build_matchers(policy, some)

    ruleset = Ruleset(Policy(file, b"", {}), build, unasked)
    assert not ruleset.ready
    assert built == []
    ruleset.prepare()
    ruleset.prepare()
    assert sorted(built) == [(0,), (1,), (1, 2), (2,)]
    assert [one.pattern for one in ruleset.screens("output")["reasoning"].scan("a lantern, a@b.com")] == [0]
    assert [one.pattern for one in ruleset.screens("input")["reasoning"].scan("a lantern, a@b.com")] == [0, 1]


def test_policies_that_ship_are_built_when_they_are_needed(tmp_path: Path) -> None:
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    for folder, name in ((own, "house"), (theirs, "default"), (theirs, "strict")):
        folder.mkdir(exist_ok=True)
        rule = "{id: r, category: own, literals: [lantern], action: block}"
        (folder / f"{name}.yaml").write_text(f"name: {name}\nversion: 1\nrules: [{rule}]")
    places = PolicyPlaces("strict", [own, theirs], build_matchers, unasked, known_good=(theirs,))
    loaded = places.load()
    assert {name: one.ready for name, one in loaded.rulesets.items()} == {
        "house": True,
        "default": False,
        "strict": True,
    }
    assert loaded.mandatory is loaded.rulesets["strict"]
    with pytest.raises(ConfigError, match="no policy is called nobody; policies: house, default, strict"):
        PolicyPlaces("nobody", [own, theirs], build_matchers, unasked).load()


@pytest.mark.parametrize("path", sorted(shipped("config/policies").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_policy_that_ships_can_be_built(path: Path) -> None:
    Ruleset(load_policy(path), build_matchers, unasked).prepare()


def test_excerpts_need_a_key(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text("name: house\nversion: 1\naudit: {excerpts: {chars: 100}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        PolicyPlaces(path, [], build_matchers, unasked).load()
    assert str(refused.value).startswith(f"{path}: audit.excerpts: ") and "\n" not in str(refused.value)
    assert "stores.encryption.key" in str(refused.value)
    loaded = PolicyPlaces(path, [], build_matchers, unasked, seals=True).load()
    assert loaded.rulesets["house"].policy.file.audit.excerpts is not None


async def test_a_reload_is_not_on_the_event_loop(tmp_path: Path) -> None:
    """Reading, checking and building: other calls go on meanwhile."""
    threads: list[int] = []

    def build(policy: Policy, rules: Sequence[int]) -> list[tuple[Matcher, Sequence[int]]]:
        threads.append(get_ident())
        return build_matchers(policy, rules)

    path = tmp_path / "house.yaml"
    write(path, "name: house\nversion: 1\nrules: [{id: r, category: own, literals: [one], action: block}]\n")
    library = PolicyLibrary(PolicyPlaces(path, [], build, unasked), 3600, lambda succeeded: None)
    await library.start()
    try:
        write(path, "name: house\nversion: 2\nrules: [{id: r, category: own, literals: [another], action: block}]\n")
        await library.reload()
    finally:
        await library.stop()
    loaded = library.now().mandatory
    assert loaded is not None and (loaded.policy.file.version, loaded.ready) == (2, True)
    assert threads and get_ident() not in threads
