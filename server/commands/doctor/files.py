"""Who may read the secrets, where Portico may write, how much room is left."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.commands.config import without_secrets
from server.commands.devkey import FILE as DEVELOPMENT_KEY
from server.commands.doctor.verdict import Verdict, fail, ok, warn
from server.config import ENV_PREFIX, Config
from server.engines.managed.hardware import disk_free_mib

SPOOL_MIB = 1024  # of a worker, at most, while the database is down
LEAST_MIB = 256  # below, the database and the spool soon cannot be written


@dataclass(frozen=True, slots=True)
class Secret:
    """A file that is there and holds one. `mode` as stat(2) has it."""

    path: Path
    what: str
    mode: int


@dataclass(frozen=True, slots=True)
class Folder:
    """One that must be written to. `disk`: a number of the one that it is or would be on, which has `free_mib`."""

    path: Path
    what: str
    writable: bool
    disk: int
    free_mib: int
    wanted_mib: int


def judge_secrets(secrets: Iterable[Secret]) -> Iterator[Verdict]:
    open_to_all = [one for one in secrets if one.mode & stat.S_IROTH]
    for one in open_to_all:
        yield warn(
            "permissions", f"{one.path} ({one.what}) can be read by every user of this machine", f"chmod o-r {one.path}"
        )
    if not open_to_all:
        yield ok("permissions", "files with secrets are closed to other users")


def judge_user(uid: int) -> Verdict:
    if uid == 0:
        return warn("permissions", "this runs as root, which Portico has no need of", "start it as a user of its own")
    return ok("permissions", f"runs as user {uid}, not as root")


def judge_folders(folders: Sequence[Folder]) -> Iterator[Verdict]:
    for one in folders:
        if not one.writable:
            way_out = "give it to the user, or name another"
            yield fail("permissions", f"{one.path} ({one.what}) cannot be written by this user", way_out)
    for disk in dict.fromkeys(one.disk for one in folders):
        yield judge_disk([one for one in folders if one.disk == disk])


def judge_disk(folders: Sequence[Folder]) -> Verdict:
    """Those of one disk."""
    free, wanted = folders[0].free_mib, sum(one.wanted_mib for one in folders)
    text = f"{free / 1024:.1f} GiB of disk free for {', '.join(one.what for one in folders)}"
    if free < LEAST_MIB:
        return fail("disk", text, "make room, or name folders on a larger disk")
    if free < wanted:
        return warn("disk", text, f"{wanted / 1024:.1f} GiB may be needed: make room in time")
    return ok("disk", text)


def secret_files(config: Config, home: Path, file: Path, tree: Any, environ: Mapping[str, str]) -> list[Secret]:
    """`file` is the configuration's and `tree` what it holds."""
    named: list[tuple[Path, str]] = [(home / DEVELOPMENT_KEY, "the development key")]
    if without_secrets(tree) != tree:
        named.append((file, "the configuration, which holds secrets"))
    for name, value in environ.items():
        if name.endswith("_FILE") and name.startswith((ENV_PREFIX, "PORTICO_API_KEY")) and value:
            named.append((Path(value), name))
    if config.server.tls.key is not None:
        named.append((config.server.tls.key, "server.tls.key"))
    if config.stores.durable.startswith("sqlite:"):
        named.append((home / config.stores.durable.partition(":///")[2], "the database"))
    found: list[Secret] = []
    for path, what in named:
        try:
            secret = Secret(path, what, path.stat().st_mode)
            mounted = os.statvfs(path).f_flag & os.ST_RDONLY
        except OSError:
            continue  # it is not there yet, or closed to us too
        if not mounted:  # a secret of a container's is for whoever is in it
            found.append(secret)
    return found


def folders(config: Config, home: Path) -> list[Folder]:
    spool = SPOOL_MIB * config.server.workers
    wanted = [(home, "$PORTICO_HOME", 1024), (home / config.stores.spool, "stores.spool", spool)]
    if config.stores.durable.startswith("sqlite:"):
        database = home / config.stores.durable.partition(":///")[2]
        wanted.append((database.parent, "stores.durable", 1024))
    wanted.append((Path(tempfile.gettempdir()), "temporary files", 16))
    return [_folder(path, what, least) for path, what, least in wanted]


def _folder(path: Path, what: str, wanted_mib: int) -> Folder:
    """A read-only file system says no to root as well."""
    existing = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return Folder(path, what, writable, existing.stat().st_dev, disk_free_mib(path), wanted_mib)
