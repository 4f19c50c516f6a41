from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from server.api.admin.buckets import BucketsAsked, span
from server.stores.records import UsageRecord
from tests.admin.conftest import Office
from tests.openai_schema import validator

DAY = 1_750_032_000  # 2025-06-16, 0:00 UTC
numbers = itertools.count()


def call(at: float, project: str = "p1", key: str = "k1", model: str = "m1", **more: Any) -> UsageRecord:
    facts: dict[str, Any] = {"prompt": 10, "cached": 4, "completion": 5, "reasoning": 2, "cost": 1_500_000} | more
    return UsageRecord(f"c{next(numbers)}", at, project, key, model, "chat.completions", "standard", "ok", 200, **facts)


@pytest.fixture(scope="module", autouse=True)
def calls(office: Office) -> None:
    records = [
        call(DAY),
        call(DAY + 3599, model="m2"),
        call(DAY + 3600, key="k2"),
        call(DAY + 86_399, project="p2", key="k3"),
        call(DAY + 2 * 86_400 + 1),
    ]
    office.run(office.store.add_usage(records))


def results(page: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [bucket["results"] for bucket in page["data"]]


def test_days(office: Office) -> None:
    page = office.get(f"/usage/completions?start_time={DAY}&end_time={DAY + 3 * 86_400}")
    validator("UsageResponse")(page)
    assert [(one["start_time"], one["end_time"]) for one in page["data"]] == [
        (DAY + day * 86_400, DAY + (day + 1) * 86_400) for day in range(3)
    ]
    assert [[one["num_model_requests"] for one in day] for day in results(page)] == [[4], [], [1]]
    (whole,) = results(page)[0]
    validator("UsageCompletionsResult")(whole)
    assert (whole["input_tokens"], whole["input_cached_tokens"], whole["output_tokens"]) == (40, 16, 20)
    assert (whole["project_id"], whole["api_key_id"], whole["model"]) == (None, None, None)
    assert (page["has_more"], page["next_page"]) == (False, None)


def test_groups(office: Office) -> None:
    base = f"/usage/completions?start_time={DAY}&end_time={DAY + 86_400}"
    by_project = results(office.get(f"{base}&group_by=project_id"))[0]
    assert {one["project_id"]: one["num_model_requests"] for one in by_project} == {"p1": 3, "p2": 1}
    by_both = results(office.get(f"{base}&group_by[]=api_key_id&group_by[]=model"))[0]
    assert {(one["api_key_id"], one["model"]) for one in by_both} == {
        ("k1", "m1"),
        ("k1", "m2"),
        ("k2", "m1"),
        ("k3", "m1"),
    }


def test_moderations(office: Office) -> None:
    """Those alone, in their own shape; elsewhere they are among the requests of their key."""
    begin = DAY + 40 * 86_400
    free: dict[str, Any] = dict.fromkeys(("prompt", "cached", "completion", "reasoning", "cost"), 0)
    made = call(begin, key="k9", model="moderations", **free)
    made = msgspec.structs.replace(made, endpoint="moderations")
    office.run(office.store.add_usage([made, call(begin, key="k9")]))
    span = f"start_time={begin}&end_time={begin + 86_400}&group_by=api_key_id"
    page = office.get(f"/usage/moderations?{span}")
    validator("UsageResponse")(page)
    ((one,),) = results(page)
    validator("UsageModerationsResult")(one)
    assert (one["api_key_id"], one["num_model_requests"], one["input_tokens"]) == ("k9", 1, 0)
    assert results(office.get(f"/usage/moderations?{span}&models=m1")) == [[]]
    ((both,),) = results(office.get(f"/usage/completions?{span}"))
    assert both["num_model_requests"] == 2


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ("project_ids[]=p1", 3),
        ("project_ids=p1&project_ids=p2", 4),
        ("api_key_ids[]=k2&api_key_ids[]=k3", 2),
        ("models[]=m2", 1),
        ("models=m2&project_ids=p2", 0),
    ],
)
def test_filters(office: Office, filters: str, count: int) -> None:
    page = office.get(f"/usage/completions?start_time={DAY}&end_time={DAY + 86_400}&{filters}")
    assert sum(one["num_model_requests"] for day in results(page) for one in day) == count


@pytest.mark.parametrize(("width", "seconds"), [("1h", 3600), ("1m", 60)])
def test_finer_buckets(office: Office, width: str, seconds: int) -> None:
    page = office.get(
        f"/usage/completions?start_time={DAY}&end_time={DAY + 2 * 3600 + 1}&bucket_width={width}&limit=121"
    )
    counts = {one["start_time"]: one["results"][0]["num_model_requests"] for one in page["data"] if one["results"]}
    last = DAY + 3599 - 3599 % seconds
    assert counts == ({DAY: 2, DAY + 3600: 1} if width == "1h" else {DAY: 1, last: 1, DAY + 3600: 1})
    assert page["data"][-1]["end_time"] == DAY + 2 * 3600 + 1, "the last one ends where the question ends"


def test_pages(office: Office) -> None:
    base = f"start_time={DAY}&end_time={DAY + 3 * 86_400 - 5}&limit=2"
    for path, schema in (("/usage/completions", "num_model_requests"), ("/costs", "amount")):
        first = office.get(f"{path}?{base}")
        validator("UsageResponse")(first)
        assert len(first["data"]) == 2 and first["has_more"]
        second = office.get(f"{path}?{base}&page={first['next_page']}")
        assert [one["start_time"] for one in second["data"]] == [DAY + 2 * 86_400]
        assert results(second)[0][0][schema] and (second["has_more"], second["next_page"]) == (False, None)


def test_defaults(office: Office) -> None:
    page = office.get(f"/usage/completions?start_time={DAY}")
    assert len(page["data"]) == 7 and page["has_more"]
    assert len(office.get(f"/usage/completions?start_time={DAY}&bucket_width=1h")["data"]) == 24
    assert len(office.get(f"/usage/completions?start_time={DAY}&bucket_width=1m")["data"]) == 60
    assert len(office.get(f"/costs?start_time={DAY}")["data"]) == 7
    assert len(office.get(f"/costs?start_time={DAY}&limit=180")["data"]) == 180


def test_costs(office: Office) -> None:
    page = office.get(f"/costs?start_time={DAY}&end_time={DAY + 86_400}&group_by[]=line_item&group_by[]=project_id")
    validator("UsageResponse")(page)
    costs = {(one["project_id"], one["line_item"]): one["amount"]["value"] for one in results(page)[0]}
    assert costs == {("p1", "m1"): 3.0, ("p1", "m2"): 1.5, ("p2", "m1"): 1.5}
    for one in results(page)[0]:
        validator("CostsResult")(one)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=-1", "start_time"),
        ("start_time=99999999999999999999", "start_time"),
        (f"start_time={DAY}&end_time={DAY}", "end_time"),
        (f"start_time={DAY}&bucket_width=1w", "bucket_width"),
        (f"start_time={DAY}&limit=32", "limit"),
        (f"start_time={DAY}&group_by=user_id", "group_by[0]"),
        (f"start_time={DAY}&page=page_{DAY + 1}", "page"),
        (f"start_time={DAY}&page=page_{DAY - 86_400}", "page"),
        (f"start_time={DAY}&page=next", "page"),
        (f"start_time={DAY}&user_ids=u", "user_ids"),
    ],
)
def test_what_is_refused(office: Office, query: str, param: str) -> None:
    answer = office.send("GET", f"/usage/completions?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)


def test_what_was_used_this_very_second_is_in_it() -> None:
    asked = BucketsAsked(start_time=DAY)
    assert span(asked, DAY + 90, 7, 31).until == DAY + 91
    assert span(asked, DAY, 7, 31).until == DAY + 1
