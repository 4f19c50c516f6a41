"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.behaviour.processes import free_port
from tests.conftest import lacking

PASSWORD = "correct-horse"
_FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}


class Postgres:
    """A running server. `stop` and `start` may be called by a test that leaves it running."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.port = free_port()
        self._binaries = binaries
        self._folder = folder
        self._data = folder / "data"
        self._databases = count(1)

    def run(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [*_as_another(), str(self._binaries / command), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C"},
        )
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def make(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self.run(
            "initdb",
            f"--pgdata={self._data}",
            "--username=portico",
            f"--pwfile={password}",
            "--auth=password",
            "--encoding=UTF8",
            "--no-sync",
        )

    def start(self) -> None:
        settings = _FAST | {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = self._folder / "log"
        self.run("pg_ctl", "start", "-w", "-t", "30", f"-D{self._data}", f"-l{log}", f"-o{options}")

    def stop(self) -> None:
        """Open connections are cut."""
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", f"-D{self._data}")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay open, and nothing answers."""
        parent = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in (parent, *map(int, children)):
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in (parent, *map(int, children)):
                os.kill(pid, signal.SIGCONT)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://portico:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The name of an empty one."""
        name = f"test_{next(self._databases)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What a superuser may do; the answer as psql writes it, unaligned."""
        target = ("-h127.0.0.1", f"-p{self.port}", "-Uportico", f"-d{database}")
        return self.run("psql", "-qAtX", "-vON_ERROR_STOP=1", *target, f"-c{statement}").strip()


def _as_another() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    user = _owner()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


def _owner() -> pwd.struct_passwd:
    names = {one.pw_name: one for one in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def binaries() -> Path:
    """Of the newest version installed; skips the test, or fails it in CI, if there is none."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not versions and not on_path:
        lacking("PostgreSQL is not installed: apt-get install postgresql")
    return versions[-1].parent if versions else Path(str(on_path)).parent


@contextmanager
def running() -> Iterator[Postgres]:
    """A new cluster, stopped and removed at the end."""
    programs = binaries()
    folder = Path(tempfile.mkdtemp(prefix="portico-postgres-"))  # not below pytest's, which others cannot enter
    if os.geteuid() == 0:
        os.chown(folder, _owner().pw_uid, _owner().pw_gid)
    server = Postgres(programs, folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if (folder / "data/postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
