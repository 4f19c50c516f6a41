"""What keys look like. Pure.

    sk-portico-        LLLLLLLLLLLLLLLL  BBBB...B   TTTTTT
    sk-portico-admin-  look-up, 16       body, 33   tag, 6      all of 0-9 A-Z a-z

The look-up is public: the database finds the key by it. The body is 196 random bits. The tag is a truncated HMAC-SHA256
of all before it: what this server did not make is refused without a look into the database, as are slips of the pen.
The tag protects the database and not the key; that is the body's work, which is compared by its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from typing import Literal, NamedTuple

Kind = Literal["key", "admin"]

_PREFIXES: dict[Kind, str] = {"key": "sk-portico-", "admin": "sk-portico-admin-"}
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LOOKUP, _BODY, _TAG = 16, 33, 6
_SHAPE = re.compile(f"sk-portico-(admin-)?([0-9A-Za-z]{{{_LOOKUP}}})[0-9A-Za-z]{{{_BODY}}}([0-9A-Za-z]{{{_TAG}}})")


class NewSecret(NamedTuple):
    """`secret` is shown once; the rest is kept."""

    secret: str
    lookup: str
    digest: str  # of the whole secret, see `digest_of`
    redacted: str  # "sk-portico-abcd...wxyz"


def tag_key(server_secret: bytes) -> bytes:
    """The key of the tags, from what `Directory.server_secret` gives."""
    return hmac.digest(server_secret, b"portico key tags 1", "sha256")


def new_secret(kind: Kind, tag_key: bytes) -> NewSecret:
    prefix = _PREFIXES[kind]
    lookup = "".join(secrets.choice(_LETTERS) for _ in range(_LOOKUP))
    body = "".join(secrets.choice(_LETTERS) for _ in range(_BODY))
    secret = prefix + lookup + body
    secret += _tag(secret, tag_key)
    return NewSecret(secret, lookup, digest_of(secret), f"{prefix}{lookup[:4]}...{secret[-4:]}")


def parse_secret(text: str, tag_key: bytes) -> tuple[Kind, str] | None:
    """Kind and look-up of a secret that this server made, else None. Whether it is still good only its record tells."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or not hmac.compare_digest(_tag(text[:-_TAG], tag_key), shape[3]):
        return None
    return ("admin" if shape[1] else "key"), shape[2]


def digest_of(secret: str) -> str:
    """SHA-256, hexadecimal: a secret of so many random bits needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _tag(text: str, key: bytes) -> str:
    number = int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:8], "big")
    letters: list[str] = []
    for _ in range(_TAG):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return "".join(letters)
