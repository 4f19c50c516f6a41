"""Where things are on this machine, and who can reach an address."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """$PORTICO_HOME: engine environments, the expanded demo model, the development key, logs."""
    chosen = Path(environ.get("PORTICO_HOME") or Path.home() / ".local/share/portico").expanduser()
    return chosen.absolute()  # the engine is started in another folder


def shipped(part: str) -> Path:
    """A file or folder that ships with Portico: `config/...` or `requirements/...`, in a checkout or in a wheel."""
    packaged = Path(__file__).parents[1] / "shipped" / part
    return packaged if packaged.exists() else Path(__file__).parents[2] / part


def policy_place(policy: Path | None) -> Path | str | None:
    """Of `moderation.policy`: a file, or a name among the policies that ship and those of the folder."""
    is_name = policy is not None and len(policy.parts) == 1 and not policy.suffix and not policy.is_file()
    return str(policy) if is_name else policy
