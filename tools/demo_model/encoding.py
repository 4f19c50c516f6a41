"""The o200k_harmony vocabulary, from openai_harmony's wheel: no download."""

import functools

from openai_harmony import HarmonyEncoding, HarmonyEncodingName, load_harmony_encoding

VOCABULARY_SIZE = 201_088  # rows of embedding and head in the real models
ORDINARY_TOKENS = 199_998  # ids below are text, the rest is special or unused
CJK_LEAD_BYTES = range(0xE3, 0xEA)  # UTF-8 lead bytes of U+3000 to U+9FFF


@functools.cache
def harmony() -> HarmonyEncoding:
    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


def token_bytes(token: int) -> bytes:
    return bytes(harmony()._inner.decode_bytes([token]))  # type: ignore[reportPrivateUsage]  # the only way to bytes


def is_cjk(text: bytes) -> bool:
    """A token without a row of its own still shows whether it is Chinese: it gets one of two shared rows."""
    return text.lstrip(b" ")[:1] != b"" and text.lstrip(b" ")[0] in CJK_LEAD_BYTES


@functools.cache
def cjk_flags() -> tuple[bool, ...]:
    """One flag per row of the vocabulary."""
    ordinary = tuple(is_cjk(token_bytes(token)) for token in range(ORDINARY_TOKENS))
    return ordinary + (False,) * (VOCABULARY_SIZE - ORDINARY_TOKENS)


@functools.cache
def text_tokens() -> tuple[str, ...]:
    """The texts of all ordinary tokens that are whole UTF-8."""
    texts = (token_bytes(token).decode("utf-8", "ignore") for token in range(ORDINARY_TOKENS))
    return tuple(text for text in texts if text)
