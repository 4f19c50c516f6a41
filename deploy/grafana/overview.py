"""Is it well, where does the time go, what is asked, what goes wrong."""

from __future__ import annotations

from deploy.grafana.panels import (
    AMBER,
    GREEN,
    RED,
    UP_OR_DOWN,
    Board,
    Row,
    Variable,
    mapped,
    series,
    stat,
    states,
    steps,
)
from deploy.grafana.queries import (
    ANSWERED,
    COUNTED,
    FAILED,
    MODEL,
    RANGE,
    Query,
    busy,
    known,
    or_none,
    quantile,
    quantiles,
    rate,
    rate_by,
    select,
    total,
)

FIRST, DURATION = "portico_time_to_first_token_seconds", "portico_request_duration_seconds"
REQUESTS = "portico_requests_total"
MODELS = Variable("model", "Model", REQUESTS, "model")
IN_TIME = 'le="2.0"'

NOW_ROW = Row(
    "",
    4,
    [
        stat(
            "Alerts",
            "Alerts that fire. Their names are at the bottom, what to do is in docs/operations.md.",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            "none",
            steps((1, RED)),
        ),
        stat(
            "Engines",
            "Down if any engine does not answer the gateway's probe. A vLLM that loads its weights is down.",
            "min(portico_engine_up)",
            "none",
            steps((1, GREEN), base=RED),
            empty="no gateway",
            mappings=mapped(UP_OR_DOWN),
        ),
        stat(
            "Availability",
            "Share of calls, in the time range, that did not fail by the service's fault. Refused and mistaken calls "
            "do not count. The objective is 99.5 %.",
            f"1 - {total(REQUESTS, MODEL, FAILED)} / (sum(increase({select(REQUESTS, MODEL, COUNTED)}[{RANGE}])) > 0)",
            "percentunit",
            steps((0.995, AMBER), (0.999, GREEN), base=RED),
            empty="idle",
            decimals=2,
        ),
        stat(
            "First token in 2 s",
            "Share of streams, in the time range, whose first token came within 2 s. The objective is 95 %.",
            f"sum(increase({select(FIRST + '_bucket', MODEL, IN_TIME)}[{RANGE}]))"
            f" / (sum(increase({select(FIRST + '_count', MODEL)}[{RANGE}])) > 0)",
            "percentunit",
            steps((0.95, AMBER), (0.99, GREEN), base=RED),
            empty="idle",
            decimals=1,
        ),
        stat(
            "First token, p95",
            "95 of 100 streams had their first token within this time, last 5 minutes.",
            known(quantile(0.95, FIRST, MODEL, window="5m")),
            "s",
            steps((1, AMBER), (2, RED)),
            empty="idle",
        ),
        stat(
            "Whole answer, p95",
            "95 of 100 good answers were complete within this time, last 5 minutes. Long answers take long.",
            known(quantile(0.95, DURATION, MODEL, ANSWERED, window="5m")),
            "s",
            steps((2, AMBER)),
            empty="idle",
        ),
        stat("Requests", "Calls ended per second, mean of 5 minutes.", rate(REQUESTS, MODEL, window="5m"), "reqps"),
        stat(
            "Waiting",
            "Calls that wait for an engine now.",
            f"sum({select('portico_queued_requests', MODEL)}) or vector(0)",
            "short",
            steps((1, AMBER)),
        ),
    ],
)


def per_call(metric: str) -> str:
    """Mean seconds of this kind in a call that reached an engine."""
    return f"{rate(metric)} / {rate('portico_engine_time_seconds_count')}"


TIME_ROWS = [
    Row(
        "Where the time goes",
        9,
        [
            series(
                "Where the time of a call goes",
                "Mean seconds of a call that reached an engine, one upon the other: in the gateway, in its queue, at "
                "the engine. All models together.",
                [
                    Query(per_call("portico_gateway_overhead_seconds_sum"), "gateway"),
                    Query(per_call("portico_queue_wait_seconds_sum"), "queue"),
                    Query(per_call("portico_engine_time_seconds_sum"), "engine"),
                ],
                "s",
                stacked=True,
            ),
            series(
                "Time to first token",
                "Of streams: from the complete request to the first token, queue included. Objective: 2 s for 95 %.",
                quantiles(FIRST, MODEL),
                "s",
            ),
            series(
                "Whole answer",
                "Of good answers: from the complete request to the last byte.",
                quantiles(DURATION, MODEL, ANSWERED),
                "s",
            ),
            series(
                "Short answer",
                "Whole answers of at most 256 tokens to chats of one turn. An alert comes when p95 is above 2 s.",
                quantiles("portico_short_answer_seconds", MODEL),
                "s",
            ),
        ],
    ),
    Row(
        "",
        8,
        [
            series(
                "Time per output token",
                "Of each stream the mean time of a token after the first. 50 ms are 20 tokens a second for its reader.",
                quantiles("portico_time_per_output_token_seconds", MODEL),
                "s",
            ),
            series(
                "Inter-token latency",
                "Each gap between tokens of a stream. A high p99 beside a low p50 is a stream that stutters.",
                quantiles("portico_inter_token_latency_seconds", MODEL),
                "s",
            ),
            series(
                "Queue wait, p95",
                "Of calls that had to wait for a busy engine, by their class; 0 while none has to. All models.",
                [Query(or_none(known(quantile(0.95, "portico_queue_wait_seconds", by="class")), "class"), "{{class}}")],
                "s",
            ),
            series(
                "Gateway overhead",
                "Time in the gateway itself, without queue and engine. All models together.",
                quantiles("portico_gateway_overhead_seconds"),
                "s",
            ),
        ],
    ),
]

TRAFFIC_ROW = Row(
    "What is asked",
    8,
    [
        series(
            "Requests by outcome",
            "Calls ended per second. invalid, unauthorized, client_gone are the clients'; engine_*, error are ours.",
            [Query(busy(rate_by("outcome", REQUESTS, MODEL)), "{{outcome}}")],
            "reqps",
            stacked=True,
        ),
        series(
            "Tokens by kind",
            "Tokens per second: prompt (cached among them) and completion (reasoning among them).",
            [Query(rate_by("kind", "portico_tokens_total", MODEL), "{{kind}}")],
            "suffix: tok/s",
        ),
        series(
            "Open calls by model",
            "Calls in progress, those in the queue included.",
            [Query(f"sum by (model) ({select('portico_in_flight_requests', MODEL)})", "{{model}}")],
            "short",
            stacked=True,
        ),
    ],
)


def burnt(record: str, budget: float) -> str:
    """Of the worst model: how many times faster than 30 days would bear."""
    return f"max(portico:{record}:ratio_rate1h{{{MODEL}}} >= 0) / {budget} or vector(0)"


TROUBLE_ROWS = [
    Row(
        "What goes wrong",
        8,
        [
            series(
                "Failures by outcome",
                "Calls that failed by the service's fault, per second. docs/operations.md explains each outcome.",
                [Query(or_none(busy(rate_by("outcome", REQUESTS, MODEL, FAILED)), "outcome"), "{{outcome}}")],
                "reqps",
                stacked=True,
            ),
            series(
                "Refused by limits",
                "Calls per second that a limit of a key, project or model refused. All models together.",
                [Query(or_none(rate_by("limit", "portico_limited_total"), "limit"), "{{limit}}")],
                "reqps",
                stacked=True,
            ),
            series(
                "Clients that left",
                "Calls per second whose client left: in the queue, before the answer began, or amid it. Impatience "
                "follows slowness.",
                [Query(or_none(rate_by("phase", "portico_client_disconnects_total"), "phase"), "{{phase}}")],
                "reqps",
                stacked=True,
            ),
            series(
                "Burn rate of the error budgets",
                "How many times faster than 30 days would bear the budget is used up, over the last hour, of the worst "
                "model. 1 is just right, 14.4 pages.",
                [
                    Query(burnt("failed", 0.005), "availability"),
                    Query(burnt("slow_first_token", 0.05), "first token"),
                ],
                "suffix:x",
                thresholds=steps((1, AMBER), (14.4, RED)),
            ),
        ],
    ),
    Row(
        "",
        6,
        [
            states(
                "Up and down",
                "Gateway and vLLM: whether Prometheus could scrape them. Engine: whether it answered the gateway's "
                "probe. Store: whether the database, or Valkey, answers.",
                [
                    Query('up{job="portico"}', "gateway {{instance}}"),
                    Query("min by (engine) (portico_engine_up)", "engine {{engine}}"),
                    Query("min by (store) (portico_store_up)", "{{store}} store"),
                ],
                UP_OR_DOWN,
            ),
            states(
                "Alerts that fire",
                "By name. The heading of that name in docs/operations.md says what to do.",
                [
                    Query(
                        or_none('max by (alertname) (ALERTS{alertstate="firing"})', "alertname"),
                        "{{alertname}}",
                    )
                ],
                {0: ("quiet", GREEN), 1: ("fires", RED)},
            ),
        ],
    ),
]

OVERVIEW = Board(
    "portico-overview",
    "Portico: overview",
    "Whether the service is well, where the time goes, what is asked of it and what goes wrong.",
    [NOW_ROW, *TIME_ROWS, TRAFFIC_ROW, *TROUBLE_ROWS],
    [MODELS],
)
