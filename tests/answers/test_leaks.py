"""The cutter against the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.answers.leaks import LeakCutter
from tests.answers.test_stop import cut

WORDS = ["<|start|>", "assistant", "<|channel|>", "final", "analysis", "commentary", "<|message|>", "<|end|>"]
WORDS += ["<|return|>", "<|call|>", "<", "|", ">", "a", " to=f", "你", "\n"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


class Count:
    value = 0.0


def run(pieces: list[str]) -> tuple[str, float]:
    count = Count()
    cutter = LeakCutter(count)
    out = "".join(cutter.feed(piece) for piece in pieces)
    return out + cutter.finish(), count.value


@given(TEXT, st.lists(st.integers(0, 80), max_size=12))
def test_any_cut(text: str, cuts: list[int]) -> None:
    out, count = run(cut(text, cuts))
    assert (out, count) == run([text])
    assert text.startswith(out)
    assert count == (out != text)


@given(TEXT)
def test_no_header_passes(text: str) -> None:
    out, _ = run([text])
    for header in ("<|start|>assistant", "<|channel|>final", "<|channel|>analysis", "<|message|>"):
        assert header not in out
    endings = ("<|end|>", "<|return|>", "<|call|>")
    assert sum(map(text.count, endings)) > 1 or not out.endswith(endings)


@given(st.text(max_size=40).filter(lambda text: "<|" not in text))
def test_other_text_is_not_touched(text: str) -> None:
    assert run([text]) == (text, 0)
    assert run(list(text)) == (text, 0)


def test_it_does_not_look_where_it_need_not() -> None:
    cutter = LeakCutter(Count())
    assert cutter.indifferent(b"hello")
    assert not cutter.indifferent(b"a <")
    cutter.feed("a <|")
    assert not cutter.indifferent(b"hello")
