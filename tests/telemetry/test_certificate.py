"""When a certificate expires, as OpenSSL tells it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from server.telemetry.certificate import first_expiry

FILE = Path(__file__).parent.parent / "data/tls/cert.pem"
BEGIN, END = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"


def as_openssl_says() -> float:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(FILE)
    decoded = ssl._ssl._test_decode_cert(str(FILE))  # type: ignore[attr-defined]
    return ssl.cert_time_to_seconds(decoded["notAfter"])


def with_time(kind: bytes, text: bytes) -> str:
    """The certificate with another end of its validity."""
    der = ssl.PEM_cert_to_DER_cert(FILE.read_text())
    at = der.index(b"\x18\x0f2126")
    assert len(text) == 15 if kind == b"\x18" else len(text) == 13
    filler = b"" if kind == b"\x18" else b"\x05\x00"  # keeps all lengths as they were
    return ssl.DER_cert_to_PEM_cert(der[:at] + kind + bytes([len(text)]) + text + filler + der[at + 17 :])


def test_one() -> None:
    assert first_expiry(FILE.read_text()) == as_openssl_says()


def test_of_a_chain_the_first_to_expire() -> None:
    chain = FILE.read_text() + with_time(b"\x18", b"20300102030405Z") + FILE.read_text()
    assert first_expiry("comment\n" + chain) == ssl.cert_time_to_seconds("Jan  2 03:04:05 2030 GMT")


@pytest.mark.parametrize(("text", "year"), [(b"491231235959Z", 2049), (b"500101000000Z", 1950)])
def test_years_of_two_digits(text: bytes, year: int) -> None:
    month, day, clock = ("Dec", "31", "23:59:59") if year == 2049 else ("Jan", " 1", "00:00:00")
    assert first_expiry(with_time(b"\x17", text)) == ssl.cert_time_to_seconds(f"{month} {day} {clock} {year} GMT")


@pytest.mark.parametrize("chain", ["", "no", BEGIN + "AAAA\n" + END, BEGIN + "!" + END])
def test_what_is_no_certificate(chain: str) -> None:
    with pytest.raises(ValueError):
        first_expiry(chain)


def test_one_that_is_cut_off() -> None:
    der = ssl.PEM_cert_to_DER_cert(FILE.read_text())
    for size in (3, 20, 60, len(der) - 1):
        with pytest.raises(ValueError):
            first_expiry(ssl.DER_cert_to_PEM_cert(der[:size]))
