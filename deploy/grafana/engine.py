"""The engines: as the gateway sees them, and by vLLM's own metrics."""

from __future__ import annotations

from deploy.grafana.panels import AMBER, GREEN, RED, UP_OR_DOWN, Board, Row, Variable, series, states, steps
from deploy.grafana.queries import Query, mean, or_none, quantile, rate, rate_by, select

CHOSEN = 'model_name=~"$served"'
BREAKER = {0: ("closed", GREEN), 1: ("half-open", AMBER), 2: ("open", RED)}


def gauge(metric: str) -> str:
    """Of vLLM, summed over its engines."""
    return f"sum({select('vllm:' + metric, CHOSEN)})"


def hit_share() -> str:
    hits, asked = (rate(f"vllm:prefix_cache_{word}_total", CHOSEN) for word in ("hits", "queries"))
    return f"{hits} / {asked}"


ENGINE = Board(
    "portico-engine",
    "Portico: engine",
    "The engines as the gateway sees them, and inside vLLM: batch, KV cache, prefix cache, preemptions.",
    [
        Row(
            "As the gateway sees them",
            8,
            [
                states(
                    "Health",
                    "Whether the engine answers the gateway's probe.",
                    [Query("min by (engine) (portico_engine_up)", "{{engine}}")],
                    UP_OR_DOWN,
                ),
                states(
                    "Breaker",
                    "Open: so many calls failed that the gateway keeps them away. Half-open: it tries with a few.",
                    [Query(or_none("max by (engine) (portico_breaker_state)", "engine"), "{{engine}}")],
                    BREAKER,
                ),
                series(
                    "Calls at the engine",
                    "Calls that the gateway has open there now.",
                    [Query("sum by (engine) (portico_engine_in_flight_requests)", "{{engine}}")],
                    "short",
                    stacked=True,
                ),
                series(
                    "Calls tried again",
                    "Per second, by what went wrong before the answer began.",
                    [
                        Query(
                            or_none(rate_by("engine, reason", "portico_engine_retries_total"), "engine"),
                            "{{engine}} {{reason}}",
                        )
                    ],
                    "reqps",
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Room (vLLM's own metrics)",
            8,
            [
                series(
                    "Running and waiting in vLLM",
                    "Running: in the batch. Waiting for long: the batch (--max-num-seqs) or the KV cache is full.",
                    [
                        Query(gauge("num_requests_running"), "running"),
                        Query(gauge("num_requests_waiting"), "waiting"),
                    ],
                    "short",
                ),
                series(
                    "KV cache in use",
                    "Share of the KV cache's blocks that hold tokens. Near 100 % calls wait in vLLM, or are put back.",
                    [
                        Query(
                            f"max by (instance, model_name) ({select('vllm:kv_cache_usage_perc', CHOSEN)})",
                            "{{model_name}} at {{instance}}",
                        )
                    ],
                    "percentunit",
                    max=1,
                    thresholds=steps((0.8, AMBER), (0.95, RED)),
                ),
                series(
                    "Preemptions",
                    "Calls per second that vLLM threw back because the KV cache was full, to compute them again later. "
                    "Should be 0: if not, lower max_in_flight.",
                    [Query(rate_by("model_name", "vllm:num_preemptions_total", CHOSEN), "{{model_name}}")],
                    "ops",
                ),
                series(
                    "Prefix cache hits",
                    "Share of prompt tokens found in the KV cache of earlier calls, and so not computed again.",
                    [Query(hit_share(), "hits")],
                    "percentunit",
                    max=1,
                ),
            ],
        ),
        Row(
            "Work (vLLM's own metrics)",
            8,
            [
                series(
                    "Tokens per second",
                    "prompt: read, without those from the cache. generation: written.",
                    [
                        Query(rate("vllm:prompt_tokens_total", CHOSEN), "prompt"),
                        Query(rate("vllm:generation_tokens_total", CHOSEN), "generation"),
                    ],
                    "suffix: tok/s",
                ),
                series(
                    "Where the time goes inside vLLM",
                    "Mean seconds of a call: in its queue, reading the prompt (prefill), writing the answer (decode).",
                    [
                        Query(mean("vllm:request_queue_time_seconds", CHOSEN), "queue"),
                        Query(mean("vllm:request_prefill_time_seconds", CHOSEN), "prefill"),
                        Query(mean("vllm:request_decode_time_seconds", CHOSEN), "decode"),
                    ],
                    "s",
                    stacked=True,
                ),
                series(
                    "First token, p95: gateway and vLLM",
                    "The same calls measured at both. What lies between is the gateway's queue and overhead.",
                    [
                        Query(quantile(0.95, "portico_time_to_first_token_seconds"), "gateway"),
                        Query(quantile(0.95, "vllm:time_to_first_token_seconds", CHOSEN), "vLLM"),
                    ],
                    "s",
                ),
                series(
                    "Answers by how they ended",
                    "Per second. stop: by itself. length: cut at max_tokens. abort: the client or a stage left.",
                    [
                        Query(
                            rate_by("finished_reason", "vllm:request_success_total", CHOSEN),
                            "{{finished_reason}}",
                        )
                    ],
                    "reqps",
                    stacked=True,
                ),
            ],
        ),
    ],
    [Variable("served", "Model in vLLM", "vllm:num_requests_running", "model_name")],
)
