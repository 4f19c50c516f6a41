"""What the sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e][\x20-\x7e]*$")]
SealingKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]  # Base64 of 32 bytes
Seconds = Annotated[float, Field(gt=0)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
PriorityClass = Literal["interactive", "standard", "batch"]


def _with_a_host(url: str) -> str:
    """Raises ValueError, without the text of the URL, where it could not be connected to whatever runs there."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("is not a URL with a host and, if any, a port from 1 to 65535")
    return url


Url = Annotated[  # no user:password; see api_key
    str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(_with_a_host)
]


def words(value: object) -> object:
    """A list may also be a text of its words: what a file of secrets holds."""
    return value.split() if isinstance(value, str) else value


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
