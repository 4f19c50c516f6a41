"""Makes the secrets of docker-compose.yml, once: the service `secrets` runs it before all others.

Each folder below ROOT is a volume that only those services mount which need what is in it. What .env gives is written
over what was made; what it leaves empty is made at the first start and kept. The password of PostgreSQL is always
made: a database that exists knows the one it was begun with.

    make_secrets.py ROOT       with API_KEY, ENGINE_KEY, HF_TOKEN, DURABLE_STORE, VOLATILE_STORE in the environment
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

# Valkey keeps counters of the limits and nothing else: what it loses is counted anew, what it evicts would be lost.
VALKEY = 'requirepass {}\nsave ""\nappendonly no\ndir /tmp\nmaxmemory 256mb\nmaxmemory-policy noeviction\n'


def write(file: Path, text: str) -> str:
    """Whole or not at all: a start that is cut off leaves no half of a secret. Who mounts the volume may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}")
    draft.unlink(missing_ok=True)
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o444)
    draft.replace(file)
    return text


def kept(file: Path, given: str, prefix: str = "") -> str:
    """The secret in `file`: the one that was given, else the one that is there, else a new one."""
    if given:
        return write(file, given)
    if file.exists() and (there := file.read_text(encoding="utf-8")):
        return there
    return write(file, prefix + secrets.token_urlsafe(32))


def make(root: Path, given: dict[str, str]) -> None:
    kept(root / "gateway/api-key", given.get("API_KEY", ""), "sk-")
    engine = kept(root / "engine/engine-key", given.get("ENGINE_KEY", ""))
    write(root / "gateway/engine-key", engine)
    write(root / "engine/hf-token", given.get("HF_TOKEN", ""))
    password = kept(root / "postgres/password", "")
    write(root / "gateway/durable", given.get("DURABLE_STORE") or f"postgresql://portico:{password}@postgres/portico")
    counters = kept(root / "valkey/password", "")
    write(root / "valkey/valkey.conf", VALKEY.format(counters))
    write(root / "gateway/volatile", given.get("VOLATILE_STORE") or f"redis://:{counters}@valkey:6379/0")


if __name__ == "__main__":
    make(Path(sys.argv[1]), dict(os.environ))
