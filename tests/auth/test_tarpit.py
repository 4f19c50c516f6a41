from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.auth.tarpit import AT_ONCE_S, LONGEST_S, PER_S, Tarpit


def test_a_few_need_not_wait() -> None:
    tarpit = Tarpit()
    few = int(AT_ONCE_S * PER_S)
    waits = [tarpit.delay(5.0) for _ in range(few + 2)]
    assert not any(waits[:few])
    assert waits[-1] > 0


def test_a_slow_stream_never_waits() -> None:
    tarpit = Tarpit()
    assert not any(tarpit.delay(number / PER_S) for number in range(5000))


@given(st.integers(1, 300), st.integers(1, 20))
def test_clients_that_insist_are_refused_at_the_pace(clients: int, rounds: int) -> None:
    """Each sends its next wrong key when it has heard."""
    tarpit = Tarpit()
    due = [0.0] * clients
    ends: list[float] = []
    for _ in range(rounds * clients):
        now = min(due)
        wait = tarpit.delay(now)
        assert wait <= LONGEST_S + 1e-9
        due[due.index(now)] = now + wait + 1e-4
        ends.append(now + wait)
    last = max(ends)
    assert len(ends) <= (last + AT_ONCE_S) * PER_S + 2


@given(st.lists(st.floats(0, 5), max_size=2000).map(sorted))
def test_nobody_waits_longer_than_the_longest(times: list[float]) -> None:
    tarpit = Tarpit()
    assert all(0 <= tarpit.delay(now) <= LONGEST_S + 1e-9 for now in times)
    assert tarpit.delay(1000.0) == 0, "it forgets"
