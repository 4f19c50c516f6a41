"""Builds and runs the image without a container engine: Debian's own tools and the kernel's namespaces. Needs root.

Two differences from a container engine: the base is Debian's own Python on a root that debootstrap makes, and not the
image of the Dockerfile's FROM; and what limits a running container there is made by hand here (a read-only root, a
user without capabilities, a network of its own), without seccomp and resource limits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.dockerfile import Instruction, environment, of

RELEASE = "trixie"
MIRROR = "http://deb.debian.org/debian"
# What the base image has beyond Debian's smallest root.
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv", "python3-pip", "python-is-python3", "libpython3-dev")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def bootstrap(folder: Path) -> None:
    """A clean Debian. Takes minutes, and the network. Raises AssertionError."""
    _done("debootstrap", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}", RELEASE, folder, MIRROR)
    folder.chmod(0o755)  # its user passes through `/`, and a temporary folder is closed to him


def copied(base: Path, folder: Path) -> Path:
    _done("cp", "-a", "--reflink=auto", base, folder)
    return folder


def build(stages: list[list[Instruction]], base: Path, folder: Path, context: Path) -> Path:
    """The root file system of the last stage, by the instructions of each. Raises AssertionError."""
    roots: dict[str, Path] = {}
    last = base
    for number, stage in enumerate(stages):
        origin, _, name = of(stage, "FROM")[0].partition(" AS ")
        last = copied(roots.get(origin, base), folder / f"stage-{number}")
        roots[name] = last
        _run_stage(stage, last, roots, context)
    return last


def _run_stage(stage: list[Instruction], root: Path, roots: dict[str, Path], context: Path) -> None:
    environ, place = {"PATH": PATH}, "/"
    for step in stage:
        if step.word == "RUN":
            run(root, step.rest, environ, place)
        elif step.word == "COPY":
            _copy(step.rest, root, place, roots, context)
        elif step.word == "WORKDIR":
            place = step.rest
            (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "ENV":
            environ |= {name: value.replace("$PATH", PATH) for name, value in environment([step]).items()}


def _copy(rest: str, root: Path, place: str, roots: dict[str, Path], context: Path) -> None:
    parts = rest.split()
    options = dict(part[2:].split("=", 1) for part in parts if part.startswith("--"))
    *sources, target = [part for part in parts if not part.startswith("--")]
    origin = roots[options["from"]] if "from" in options else context
    goal = root / os.path.join(place, target).lstrip("/")  # noqa: PTH118 - an absolute target wins, as Docker has it
    for source in sources:
        found = origin / source.lstrip("/")
        into = goal / found.name if target.endswith("/") and found.is_file() else goal
        into.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(
                found, into, dirs_exist_ok=True, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(found, into)
        if "chmod" in options:
            for path in (into, *into.rglob("*")):
                path.chmod(int(options["chmod"], 8))


def run(root: Path, command: str, environ: Mapping[str, str], place: str = "/") -> str:
    """As root, writable, with this machine's network and its way to the package indexes. Raises AssertionError."""
    for name in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES):
        if Path(name).exists():
            shutil.copyfile(name, root / name.lstrip("/"))
    indexes = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}
    inside = f"cd {place} && {command}"
    return _done(
        *("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", root),
        *("env", "-i", *(f"{name}={value}" for name, value in {**indexes, **environ}.items()), "sh", "-c", inside),
    )


def confined(
    root: Path, state: Path, user: str, namespace: str, environ: Mapping[str, str], *command: str
) -> list[str]:
    """The command line that runs `command` as the image's user: read-only but for /tmp and the state, no capabilities.

    `namespace` is a network namespace by its name.
    """
    mounts = (
        f"mount --bind {root} {root} && mount -o remount,bind,ro {root}"
        f" && mount -t tmpfs -o size=64m,mode=1777,noexec,nosuid,nodev tmpfs {root}/tmp"
        f" && mount -t tmpfs -o size=64m,mode=1777 tmpfs {root}/dev/shm && mount -t sysfs -o ro sysfs {root}/sys"
        f" && mount --bind {state} {root}/var/lib/portico && mount -t proc proc {root}/proc"
    )
    enter = f'exec chroot --userspec={user} {root} env -i "$@"'
    return [
        *("ip", "netns", "exec", namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child"),
        *("sh", "-c", f"{mounts} && {enter}", "sh"),
        *(f"{name}={value}" for name, value in environ.items()),
        *command,
    ]


def _done(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{words[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
