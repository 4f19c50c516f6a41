"""What the model wrote and a client hands back: it is the model's own, and only that of its own project.

What a client writes there itself would reach the model as its own reasoning, with more weight than a user's words. So
what leaves is sealed (nobody else can read or make it) or, where the client may read it anyway, vouched for. Summaries
of conversations and calls of tools are sealed so, too, and none can be put in the place of another.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from os import urandom

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALING, VOUCHING = b"portico reasoning", b"portico reasoning, vouched for"
MARKING, MARK_BYTES = b"portico calls of tools", 16
NONCE_BYTES = 12
SEALED, VOUCHED, SUMMARY, CALL = "s1.", "v1.", "c1.", "t1."
"""How a token begins: the version of its form."""


class Sealer:
    """`secret` is the server's, of any length. Tokens are text that is safe in JSON and in URLs."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(secret, SEALING, "sha256"))
        self._key = hmac.digest(secret, VOUCHING, "sha256")
        self._calls = hmac.digest(secret, MARKING, "sha256")

    def seal(self, project_id: str, text: str) -> str:
        """The text itself, for nobody else to read: AES-256-GCM, bound to the project."""
        return self._sealed(SEALED, project_id.encode(), text)

    def seal_summary(self, project_id: str, text: str) -> str:
        """The same for a summary of a conversation."""
        return self._sealed(SUMMARY, _of_summary(project_id), text)

    def summary(self, project_id: str, token: str) -> str | None:
        """None if it is not ours, or another project's."""
        return self._opened(SUMMARY, _of_summary(project_id), token)

    def seal_call(self, project_id: str, tool: str, arguments: str, output: str) -> str:
        """The same for a call of a tool and what the model was told of it."""
        told = msgspec.json.encode((tool, arguments, output)).decode()
        return self._sealed(CALL, _of_call(project_id), told)

    def call(self, project_id: str, token: str) -> tuple[str, str, str] | None:
        """None if it is not ours, or another project's."""
        told = self._opened(CALL, _of_call(project_id), token)
        return None if told is None else msgspec.json.decode(told, type=tuple[str, str, str])

    def vouch(self, project_id: str, text: str) -> str:
        """That this text is ours."""
        said = project_id.encode() + b"\0" + text.encode("utf-8", "surrogatepass")
        return VOUCHED + urlsafe_b64encode(hmac.digest(self._key, said, "sha256")).decode()

    def mark(self, project_id: str, *texts: str) -> str:
        """Of what the model asked for in this project: an id that bears it cannot be made by a client."""
        said = "".join(f"{len(text)}:{text}" for text in (project_id, *texts)).encode("utf-8", "surrogatepass")
        return urlsafe_b64encode(hmac.digest(self._calls, said, "sha256")[:MARK_BYTES]).decode().rstrip("=")

    def restored(self, project_id: str, token: str | None, text: str) -> str | None:
        """The reasoning of an item with this token and this visible text; None if it is not ours."""
        if token is None:
            return None
        if token.startswith(VOUCHED):
            ours = self.vouch(project_id, text)
            return text if hmac.compare_digest(ours.encode(), token.encode("utf-8", "surrogatepass")) else None
        return self._opened(SEALED, project_id.encode(), token)

    def _sealed(self, form: str, bound_to: bytes, text: str) -> str:
        nonce = urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), bound_to)
        return form + urlsafe_b64encode(nonce + sealed).decode()

    def _opened(self, form: str, bound_to: bytes, token: str) -> str | None:
        if not token.startswith(form):
            return None
        try:
            sealed = urlsafe_b64decode(token.removeprefix(form).encode("ascii"))
            plain = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        return plain.decode("utf-8", "surrogatepass")


def request_id(item_id: str, sealer: Sealer, project_id: str, *call: str) -> str:
    """Of an item that asks for the approval of `call`: label of the server, name of the tool, arguments."""
    return f"{item_id}.{sealer.mark(project_id, item_id, *call)}"


def is_request_id(text: str, sealer: Sealer, project_id: str, *call: str) -> bool:
    """Whether it is one that `request_id` made for this call."""
    ours = request_id(text.rpartition(".")[0], sealer, project_id, *call)
    return hmac.compare_digest(ours.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass"))


def _of_call(project_id: str) -> bytes:
    return b"call\0" + project_id.encode()


def _of_summary(project_id: str) -> bytes:
    """No project's id has a zero in it."""
    return b"summary\0" + project_id.encode()
