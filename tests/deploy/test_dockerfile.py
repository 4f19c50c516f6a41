"""The Dockerfile, read as text: there may be no engine to build it with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy import dockerfile
from tests.deploy.dockerfile import Instruction, of


@pytest.fixture(scope="module")
def stages(root: Path) -> list[list[Instruction]]:
    return dockerfile.stages((root / "Dockerfile").read_text(encoding="utf-8"))


def test_every_stage_starts_from_the_pinned_slim_image(root: Path, stages: list[list[Instruction]]) -> None:
    text = (root / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON=python:3\.12-slim-[a-z]+$", text, re.MULTILINE)
    assert [of(stage, "FROM") for stage in stages] == [["${PYTHON} AS build"], ["build AS compiled"], ["${PYTHON}"]]


def test_dependencies_come_from_the_lock_with_hashes_and_none_is_compiled(stages: list[list[Instruction]]) -> None:
    lock, project = (run for run in of(stages[0], "RUN") if " install --no-cache-dir" in run)
    for flag in (
        "--require-hashes",
        "--only-binary :all:",
        "--requirement requirements/gateway.lock",
        "--requirement requirements/otel.lock",
        "--requirement requirements/s3.lock",
    ):
        assert flag in lock
    for flag in ("--no-deps", "--no-build-isolation"):
        assert flag in project


def test_only_the_stage_that_compiles_has_a_compiler(stages: list[list[Instruction]]) -> None:
    installed = [
        re.findall(r"apt-get install --yes --no-install-recommends ([a-z0-9 -]+?) *&&", " ".join(of(stage, "RUN")))
        for stage in stages
    ]
    assert installed == [["libnuma1 tini"], ["gcc libc6-dev"], []]


def test_the_hot_path_is_compiled_with_what_a_lock_names_and_only_its_result_is_shipped(
    stages: list[list[Instruction]],
) -> None:
    tools, compiling = of(stages[1], "RUN")[1:]
    assert "--require-hashes --only-binary :all: --requirement compile.lock" in tools
    assert "compile.py --python /opt/portico/bin/python" in compiling
    assert [copy.split()[1:] for copy in of(stages[-1], "COPY") if "--from=compiled" in copy] == [
        ["/opt/portico", "/opt/portico"]
    ]


def test_the_result_installs_nothing(stages: list[list[Instruction]]) -> None:
    for run in of(stages[-1], "RUN"):
        assert not re.search(r"\b(apt|apt-get|pip|curl|wget)\b", run)
    assert of(stages[-1], "ADD") == []


def test_it_runs_as_a_numeric_user_that_owns_only_its_state(stages: list[list[Instruction]]) -> None:
    (user,) = of(stages[-1], "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    uid, gid = user.split(":")
    run = of(stages[-1], "RUN")[0]
    assert f"--owner {uid} --group {gid} --mode 0700 /var/lib/portico" in run
    assert not any("--chown" in copy for copy in of(stages[-1], "COPY"))


def test_start_stop_and_health(stages: list[list[Instruction]]) -> None:
    final = stages[-1]
    assert of(final, "ENTRYPOINT") == ['["tini", "--", "portico"]']
    assert of(final, "CMD") == ['["serve"]']
    assert of(final, "STOPSIGNAL") == ["SIGTERM"]
    assert of(final, "EXPOSE") == ["8000 9464"]
    (env,) = of(final, "ENV")
    assert "PORTICO_HOME=/var/lib/portico" in env
    (health,) = of(final, "HEALTHCHECK")
    code = health.split('"-c", "')[1].removesuffix('"]')
    assert "/healthz" in code
    compile(code, "healthcheck", "exec")


def test_what_is_copied_exists_and_reaches_the_builder(root: Path, stages: list[list[Instruction]]) -> None:
    ignore = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line.removeprefix("!").rstrip("/") for line in ignore if line.startswith("!")]
    assert "*" in ignore, "what is not named stays out: .env, .git, environments"
    for copy in (copy for stage in stages for copy in of(stage, "COPY") if "--from" not in copy):
        for source in [part for part in copy.split()[:-1] if not part.startswith("--")]:
            path = source.rstrip("/")
            assert (root / path).exists(), source
            assert any(path == name or path.startswith(name + "/") for name in allowed), source
