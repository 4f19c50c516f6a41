"""What the Dockerfile makes, made and run without a container engine: see chroot.py. Takes about five minutes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.deploy import chroot, dockerfile
from tools.compile import MODULES

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]
KEY = "sk-0123456789abcdef"
COMPILERS = ("gcc", "cc", "g++", "clang", "ld", "as", "make", "cargo", "rustc", "go")


@pytest.fixture(scope="module")
def last(root: Path) -> list[dockerfile.Instruction]:
    return dockerfile.stages((root / "Dockerfile").read_text(encoding="utf-8"))[-1]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        lacking("needs root and debootstrap: apt-get install debootstrap")
    folder = tmp_path_factory.mktemp("base")
    chroot.bootstrap(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(root: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root file system."""
    folder = tmp_path_factory.mktemp("image")
    stages = dockerfile.stages((root / "Dockerfile").read_text(encoding="utf-8"))
    yield chroot.build(stages, base, folder, root)
    shutil.rmtree(folder)


def added(base: Path, image: Path) -> list[Path]:
    """Files of the image that the base has not, as paths from its root."""
    return [
        file.relative_to(image)
        for file in image.rglob("*")
        if file.is_file() and not file.is_symlink() and not (base / file.relative_to(image)).exists()
    ]


def test_there_is_no_compiler_and_no_pip_beside_portico(image: Path) -> None:
    programs = [
        image / folder / name for folder in ("usr/bin", "usr/local/bin", "opt/portico/bin") for name in COMPILERS
    ]
    assert [file for file in programs if file.exists()] == []
    assert not list(image.glob("opt/portico/bin/pip*"))
    for name in ("hatchling", "mypyc", "setuptools"):
        assert not list(image.glob(f"opt/portico/lib/python3*/site-packages/{name}"))


def test_the_hot_path_is_compiled(image: Path) -> None:
    for module in MODULES:
        assert list(image.glob(f"opt/portico/lib/python3*/site-packages/server/{module}.*.so")), module


def test_nothing_that_was_added_can_be_written_by_others(base: Path, image: Path) -> None:
    files = added(base, image)
    assert len(files) > 1000
    assert [file for file in files if (image / file).stat().st_mode & 0o022] == []
    assert {(image / file).stat().st_uid for file in files} == {0}
    assert [file for file in files if (image / file).stat().st_mode & 0o6000] == []
    home = (image / "var/lib/portico").stat()
    assert (home.st_uid, home.st_gid, home.st_mode & 0o777) == (10001, 10001, 0o700)


def test_the_bill_of_materials_lists_what_the_lock_names(root: Path, image: Path) -> None:
    bill = json.loads((image / "usr/share/doc/portico/sbom.cdx.json").read_text(encoding="utf-8"))
    listed = {one["purl"].partition("?")[0] for one in bill["components"]}
    assert len(listed) == len(bill["components"])
    lock = "".join(
        (root / f"requirements/{name}.lock").read_text(encoding="utf-8") for name in ("gateway", "otel", "s3")
    )
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE))
    (packages,) = image.glob("opt/portico/lib/python3*/site-packages")
    installed = {
        (re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(), one.version)
        for one in distributions(path=[str(packages)])
    }
    assert {f"pkg:pypi/{name}@{version}" for name, version in installed} <= listed
    assert {(name, version) for name, version in installed if name != "portico"} <= locked.items()
    assert {"fastapi", "vllm"} & {name for name, _ in installed} == {"fastapi"}
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in listed)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network of its own, with loopback only: the image's ports are free there."""
    name = f"portico-image-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_it_serves_read_only_as_its_user_and_stops_in_order(
    root: Path, last: list[dockerfile.Instruction], image: Path, namespace: str, tmp_path: Path
) -> None:
    environ = {
        **{name: value.replace("$PATH", chroot.PATH) for name, value in dockerfile.environment(last).items()},
        "PORTICO_API_KEY_FILE": "/var/lib/portico/api-key",
        "PORTICO__ENGINES__VLLM__URL": "http://127.0.0.1:8100/v1",
        "PORTICO__ENGINES__VLLM__VLLM": "false",
        "PORTICO__MODELS": "{gpt-oss-20b: {engines: [vllm]}}",
    }
    (user,) = dockerfile.of(last, "USER")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "api-key").write_text(KEY)
    for path in (tmp_path, state, state / "api-key"):
        os.chown(path, *map(int, user.split(":")))
    tmp_path.parent.chmod(0o755)

    def inside(*command: str) -> list[str]:
        return chroot.confined(image, state, user, namespace, environ, *command)

    def answers(*command: str) -> tuple[int, str]:
        done = subprocess.run(inside(*command), capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    entry = [*json.loads(dockerfile.of(last, "ENTRYPOINT")[0]), *json.loads(dockerfile.of(last, "CMD")[0])]
    health = json.loads(dockerfile.of(last, "HEALTHCHECK")[0].partition("CMD ")[2])
    engine = ["ip", "netns", "exec", namespace, sys.executable, "-m", "bench.sim_engine", "--port", "8100"]
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen(engine, cwd=root) as double:
        gateway = subprocess.Popen(inside(*entry), stdout=out, stderr=out)
        try:
            until = time.monotonic() + 60
            while answers(*health)[0] != 0:
                assert gateway.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.5)
            chat = (
                "import http.client as h, json; c = h.HTTPConnection('127.0.0.1', 8000, timeout=20);"
                "c.request('POST', '/v1/chat/completions', json.dumps({'model': 'gpt-oss-20b', 'stream': True,"
                "'max_tokens': 20, 'messages': [{'role': 'user', 'content': 'Hi'}]}),"
                f"{{'authorization': 'Bearer {KEY}', 'content-type': 'application/json'}});"
                "r = c.getresponse(); print(r.status, r.read()[-14:])"
            )
            until = time.monotonic() + 20
            while (told := answers("python", "-I", "-c", chat))[1] != "200 b'data: [DONE]\\n\\n'\n":
                assert time.monotonic() < until, (told, log.read_text())
                time.sleep(0.5)

            tini = int(Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()[0])
            for pid in (tini, *descendants(tini)):
                status = Path(f"/proc/{pid}/status").read_text()
                assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.MULTILINE)
                assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
            refused, reason = answers("touch", "/opt/portico/x")
            assert refused != 0
            assert "Read-only file system" in reason
            assert (state / "var/portico.db").exists()

            os.kill(tini, signal.SIGTERM)
            assert gateway.wait(30) == 0, log.read_text()
            assert KEY not in log.read_text()
        finally:
            gateway.kill()
            gateway.wait()
            double.kill()


def descendants(pid: int) -> list[int]:
    below = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return below + [deeper for one in below for deeper in descendants(one)]
