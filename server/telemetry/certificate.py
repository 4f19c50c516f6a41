"""When a certificate expires. Pure: the standard library reads that only from a connection's other end."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import NamedTuple

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18


class Element(NamedTuple):
    """Of DER (ITU-T X.690): its tag, and where its content is."""

    tag: int
    start: int
    end: int


def first_expiry(chain: str) -> float:
    """Unix seconds of the certificate in PEM that expires first. Raises ValueError where there is none to be read."""
    blocks = _BLOCK.findall(chain)
    if not blocks:
        raise ValueError("no certificate in it")
    try:
        return min(_expiry(ssl.PEM_cert_to_DER_cert(block)) for block in blocks)
    except IndexError:
        raise ValueError("a certificate that is cut off") from None


def _expiry(der: bytes) -> float:
    """RFC 5280: TBSCertificate has [version], serial number, signature, issuer, validity; this has two times."""
    to_be_signed = _element(der, _element(der, 0).start)
    one = _element(der, to_be_signed.start)
    if one.tag == _VERSION:
        one = _element(der, one.end)
    for _ in range(3):  # from the serial number to the validity
        one = _element(der, one.end)
    not_before = _element(der, one.start)
    not_after = _element(der, not_before.end)
    text = der[not_after.start : not_after.end].decode("ascii")
    if not_after.tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif not_after.tag != _GENERALIZED_TIME:
        raise ValueError("not a certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> Element:
    """That which begins at `at`. Raises IndexError beyond the end."""
    size, start = der[at + 1], at + 2
    if size >= 0x80:
        start += size - 0x80
        size = int.from_bytes(der[at + 2 : start], "big")
    if start + size > len(der):
        raise IndexError
    return Element(der[at], start, start + size)
