"""Is there room, for how much longer, and what would run out first."""

from __future__ import annotations

from deploy.grafana.panels import AMBER, RED, UP_OR_DOWN, Board, Row, series, stat, states, steps
from deploy.grafana.queries import RANGE, Query, known, or_none, quantile, rate, rate_by, select, total, total_by

TOKENS, REQUESTS, WAIT = "portico_tokens_total", "portico_requests_total", "portico_queue_wait_seconds_count"
REACHED = "portico_engine_time_seconds_count"


def peak(record: str) -> str:
    """The highest in the time range, of what a recording rule keeps."""
    return f"max(max_over_time(portico:{record}[{RANGE}]))"


CAPACITY = Board(
    "portico-capacity",
    "Portico: capacity",
    "Is there room, for how much longer, and what would run out first.",
    [
        Row(
            "Peaks of the time range",
            4,
            [
                stat(
                    "Requests",
                    "The most calls per second, as a mean of 5 minutes.",
                    peak("requests:rate5m"),
                    "reqps",
                ),
                stat(
                    "Tokens",
                    "The most prompt and completion tokens per second, as a mean of 5 minutes.",
                    peak("tokens:rate5m"),
                    "suffix: tok/s",
                    decimals=0,
                ),
                stat(
                    "Open calls",
                    "The most at one moment, queue included.",
                    peak("in_flight_requests:sum"),
                    "short",
                ),
                stat(
                    "Waiting calls",
                    "The longest queue of a model at one moment. Above 0 at every peak means: more engines, soon.",
                    peak("queued_requests:sum") + " or vector(0)",
                    "short",
                    steps((1, AMBER)),
                ),
                stat(
                    "Calls that waited",
                    "Share of the calls that had to wait for an engine, in the time range.",
                    f"{total(WAIT)} / (sum(increase({select(REACHED)}[{RANGE}])) > 0)",
                    "percentunit",
                    steps((0.05, AMBER), (0.25, RED)),
                    empty="idle",
                    decimals=1,
                ),
            ],
        ),
        Row(
            "Load",
            8,
            [
                series(
                    "Calls: at the engines and waiting",
                    "One upon the other. A flat top with a growing queue is the most that the engines take.",
                    [
                        Query("sum(portico_engine_in_flight_requests)", "at the engines"),
                        Query("sum(portico_queued_requests) or vector(0)", "waiting"),
                    ],
                    "short",
                    stacked=True,
                ),
                series(
                    "Calls that waited",
                    "Share of calls that found all engines busy. This grows first when room becomes scarce.",
                    [Query(f"{rate(WAIT)} / {rate(REACHED)}", "waited")],
                    "percentunit",
                ),
            ],
        ),
        Row(
            "The gateway",
            8,
            [
                series(
                    "Processors of the gateway",
                    "Cores that the workers of each gateway use. A worker can use one: at 0.8 for each, add workers.",
                    [
                        Query(
                            "sum by (instance) (rate(portico_process_cpu_seconds_total[$__rate_interval]))",
                            "{{instance}}",
                        )
                    ],
                    "short",
                ),
                series(
                    "Memory of the gateway",
                    "Of the workers of each gateway. It grows with open calls, and not with time.",
                    [Query("sum by (instance) (portico_process_resident_memory_bytes)", "{{instance}}")],
                    "bytes",
                ),
                series(
                    "Streamed by the gateway",
                    "Tokens per second that leave in streams. bench/RESULTS.md says how many one core relays.",
                    [Query(rate("portico_inter_token_latency_seconds_count"), "tokens")],
                    "suffix: tok/s",
                ),
            ],
        ),
        Row(
            "Growth",
            8,
            [
                series(
                    "Requests by hour",
                    "Calls that ended in the hour before, by model. Take a long time range to see the trend.",
                    [Query(total_by("model", REQUESTS, window="1h"), "{{model}}")],
                    "short",
                    stacked=True,
                ),
                series(
                    "Tokens by hour",
                    "Tokens in the hour before, by kind.",
                    [Query(total_by("kind", TOKENS, window="1h"), "{{kind}}")],
                    "short",
                ),
            ],
        ),
        Row(
            "Batches",
            7,
            [
                series(
                    "Batches that are worked on",
                    "At most batches.running for each worker; further ones wait for their turn.",
                    [Query("sum(portico_batches_running)", "batches")],
                    "short",
                ),
                series(
                    "Lines of batches",
                    "Per second. Many that are tried again wait for limits, for room or for an engine.",
                    [Query(rate_by("outcome", "portico_batch_lines_total"), "{{outcome}}")],
                    "short",
                ),
            ],
        ),
        Row(
            "Tools",
            7,
            [
                series(
                    "Calls of tools",
                    "Per second, of servers in tools.servers. What failed is told to the model, which goes on.",
                    [Query(or_none(rate_by("outcome", "portico_tool_calls_total"), "outcome"), "{{outcome}}")],
                    "short",
                ),
                series(
                    "Time of calls, p95",
                    "By server. While it passes, no engine and no limit is held.",
                    [
                        Query(
                            or_none(known(quantile(0.95, "portico_tool_call_seconds", by="server")), "server"),
                            "{{server}}",
                        )
                    ],
                    "s",
                ),
                series(
                    "Lists of tools",
                    "Questions to servers what they offer, per second, by what came of them.",
                    [Query(or_none(rate_by("outcome", "portico_tool_lists_total"), "outcome"), "{{outcome}}")],
                    "short",
                ),
            ],
        ),
        Row(
            "Stores and metrics",
            7,
            [
                states(
                    "Stores",
                    "durable: the database. volatile: Valkey or Redis, where there is one.",
                    [Query("min by (store) (portico_store_up)", "{{store}}")],
                    UP_OR_DOWN,
                ),
                series(
                    "Usage that is not in the database",
                    "Records in the spool. A second's worth is normal; growth means a database that is down or slow.",
                    [Query("sum(portico_usage_spool_records)", "records")],
                    "short",
                ),
                series(
                    "Time of a scrape",
                    "How long Prometheus waits for the gateway's metrics. Grows with projects and workers.",
                    [Query('scrape_duration_seconds{job="portico"}', "{{instance}}")],
                    "s",
                ),
            ],
        ),
    ],
    hours=24,
)
