"""Which projects have a name of their own."""

from __future__ import annotations

from pathlib import Path

from server.telemetry.projects import OTHER, ProjectNames


def test_the_first_ones() -> None:
    names = ProjectNames(2)
    assert [names.of(one) for one in ("a", "b", "a", "c", "b", "c")] == ["a", "b", "a", OTHER, "b", OTHER]
    assert ProjectNames(0).of("a") == OTHER


def test_all_workers_have_the_same_and_those_that_start_again_too(tmp_path: Path) -> None:
    file = tmp_path / "projects"
    one, two = ProjectNames(3, file), ProjectNames(3, file)
    assert [one.of("a"), two.of("b"), one.of("b"), two.of("c"), one.of("d")] == ["a", "b", "b", "c", OTHER]
    assert one.of("c") == "c", "another worker gave it the last name"
    assert [ProjectNames(3, file).of(name) for name in ("d", "c")] == [OTHER, "c"]


def test_a_file_that_cannot_be_used_gives_no_names(tmp_path: Path) -> None:
    names = ProjectNames(3, tmp_path / "missing" / "projects")
    assert names.of("a") == OTHER
