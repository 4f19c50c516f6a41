from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.stores.aes_gcm import AesGcm
from server.stores.base import StoreDown, StoreError
from server.stores.sealing import MARK, PLAIN, UnknownKey

ONE, TWO, THREE = (base64.b64encode(bytes([number]) * 32).decode() for number in range(3))
json_texts = st.binary().map(lambda inner: b'{"a":"' + inner + b'"}')


@given(text=st.binary(), place=st.text())
def test_there_and_back(text: bytes, place: str) -> None:
    sealing = AesGcm(ONE)
    sealed = sealing.seal(text, place)
    assert sealing.unseal(sealed, place) == text
    assert text not in sealed or len(text) < 8
    assert sealing.seal(text, place) != sealed, "each has a nonce of its own"


@given(text=json_texts)
def test_plain_text_is_read_whatever_the_key(text: bytes) -> None:
    assert PLAIN.unseal(PLAIN.seal(text, "a"), "a") == text
    assert AesGcm(ONE).unseal(text, "a") == text


@given(text=st.binary(min_size=1), data=st.data())
def test_any_change_is_found(text: bytes, data: st.DataObject) -> None:
    sealing = AesGcm(ONE)
    sealed = bytearray(sealing.seal(text, "a"))
    at = data.draw(st.integers(1, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StoreError):
        sealing.unseal(bytes(sealed), "a")


@pytest.mark.parametrize("length", [1, 5, 6, 17, 30])
def test_what_was_cut_is_found(length: int) -> None:
    sealing = AesGcm(ONE)
    with pytest.raises(StoreError):
        sealing.unseal(sealing.seal(b"a text", "a")[:length], "a")


def test_bound_to_its_place() -> None:
    sealing = AesGcm(ONE)
    with pytest.raises(StoreError, match="moved from its place"):
        sealing.unseal(sealing.seal(b"{}", "resp_1/body"), "resp_2/body")


def test_keys_can_be_changed() -> None:
    old = AesGcm(ONE).seal(b"{}", "a")
    new = AesGcm(TWO, [ONE, THREE])
    assert new.unseal(old, "a") == b"{}"
    sealed = new.seal(b"{}", "a")
    assert AesGcm(TWO).unseal(sealed, "a") == b"{}", "it seals by the first"
    with pytest.raises(UnknownKey):
        AesGcm(ONE).unseal(sealed, "a")


@pytest.mark.parametrize("sealing", [PLAIN, AesGcm(TWO)])
def test_a_wrong_key_is_one_clear_line(sealing: AesGcm) -> None:
    sealed = AesGcm(ONE).seal(b"{}", "a")
    with pytest.raises(UnknownKey) as error:
        sealing.unseal(sealed, "a")
    line = str(error.value)
    assert isinstance(error.value, StoreDown)
    assert "stores.encryption" in line and "old_keys" in line and sealed[len(MARK) : 5].hex() in line
    assert "\n" not in line and ONE not in line and TWO not in line
