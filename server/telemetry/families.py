"""Every metric of Portico: name, unit, meaning, labels. Each has a heading in docs/operations.md.

Labels are bounded: names of the configuration, words of ours, and projects up to `metrics.projects`. Never a key, never
a user's text.
"""

from __future__ import annotations

from server.telemetry.kinds import CounterFamily, Family, GaugeFamily, HistogramFamily

LATENCY_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600,
)  # fmt: skip
TOKEN_GAP_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
MODERATION_S = (0.00001, 0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BY_END = ("model", "endpoint", "outcome")

# Calls

REQUESTS = CounterFamily("portico_requests_total", "requests", "Requests by how they ended.", BY_END)
DURATION = HistogramFamily(
    "portico_request_duration_seconds",
    "seconds",
    "From the complete request to the last byte of the answer.",
    BY_END,
    LATENCY_S,
)
SHORT_ANSWER = HistogramFamily(
    "portico_short_answer_seconds",
    "seconds",
    "From the complete request to the last byte, of short answers to chats of one turn.",
    ("model",),
    LATENCY_S,
)
FIRST_TOKEN = HistogramFamily(
    "portico_time_to_first_token_seconds",
    "seconds",
    "From the complete request to the first token of a streamed answer.",
    ("model",),
    LATENCY_S,
)
TOKEN_GAP = HistogramFamily(
    "portico_inter_token_latency_seconds", "seconds", "Between tokens of a streamed answer.", ("model",), TOKEN_GAP_S
)
PER_TOKEN = HistogramFamily(
    "portico_time_per_output_token_seconds",
    "seconds",
    "Mean time of a streamed answer's tokens after its first.",
    ("model",),
    TOKEN_GAP_S,
)
QUEUE_WAIT = HistogramFamily("portico_queue_wait_seconds", "seconds", "Wait for an engine.", ("class",), LATENCY_S)
ENGINE_TIME = HistogramFamily(
    "portico_engine_time_seconds", "seconds", "From dispatch to the last byte of the engine.", ("model",), LATENCY_S
)
OVERHEAD = HistogramFamily(
    "portico_gateway_overhead_seconds",
    "seconds",
    "Time in the gateway: neither queue nor engine.",
    ("endpoint",),
    OVERHEAD_S,
)
TOKENS = CounterFamily("portico_tokens_total", "tokens", "Tokens by kind.", ("model", "kind"))
ESTIMATED = CounterFamily(
    "portico_estimated_usage_total", "calls", "Calls whose tokens the engine does not count.", ("model",)
)
IN_FLIGHT = GaugeFamily("portico_in_flight_requests", "calls", "Open calls.", ("model",))
QUEUED = GaugeFamily("portico_queued_requests", "calls", "Calls that wait for an engine.", ("model", "class"))
DISCONNECTS = CounterFamily(
    "portico_client_disconnects_total", "calls", "Calls whose client left, by how far they were.", ("phase",)
)
LEAKS = CounterFamily(
    "portico_leaked_control_tokens_total", "answers", "Answers cut at a leaked control token.", ("model",)
)
NULL_ANSWERS = CounterFamily(
    "portico_null_answers_total",
    "answers",
    "Answers without content or reasoning, though tokens were used.",
    ("model",),
)

# Projects

PROJECT_REQUESTS = CounterFamily(
    "portico_project_requests_total", "calls", "Calls of a project by how they ended.", ("project", "outcome")
)
PROJECT_TOKENS = CounterFamily(
    "portico_project_tokens_total", "tokens", "Tokens of a project by kind.", ("project", "kind")
)
PROJECT_QUEUE_WAIT = HistogramFamily(
    "portico_project_queue_wait_seconds", "seconds", "Wait of a project's calls for an engine.", ("project",), LATENCY_S
)
PROJECT_INFO = GaugeFamily(
    "portico_project_info", "always 1", "Of a project: its name.", ("project", "name"), "livemax"
)
PROJECT_SHARE = CounterFamily(
    "portico_project_share_tokens_total", "weighted tokens", "Service that the fair queue charged.", ("project",)
)

# Engines

ENGINE_UP = GaugeFamily(
    "portico_engine_up", "0 or 1", "Whether the engine answers its health probe.", ("engine",), "livemostrecent"
)
BREAKER = GaugeFamily(
    "portico_breaker_state", "0, 1 or 2", "Of the engine: closed, half-open, open.", ("engine",), "livemax"
)
ENGINE_RETRIES = CounterFamily(
    "portico_engine_retries_total", "tries", "Calls tried again, by what went wrong.", ("engine", "reason")
)
ENGINE_IN_FLIGHT = GaugeFamily("portico_engine_in_flight_requests", "calls", "Calls that the engine has.", ("engine",))

# Limits, usage, stores

LIMITED = CounterFamily("portico_limited_total", "calls", "Calls refused by a limit, by its kind.", ("limit",))
LIMITS_DEGRADED = GaugeFamily(
    "portico_limits_degraded", "0 or 1", "Whether limits are enforced without their shared store.", (), "livemax"
)
SPOOL = GaugeFamily("portico_usage_spool_records", "records", "Usage records that are not in the database yet.")
LOST_USAGE = CounterFamily("portico_usage_lost_records_total", "records", "Usage records that could be kept nowhere.")
LOST_RESPONSES = CounterFamily("portico_responses_lost_total", "responses", "Responses that could not be stored.")
STORE_UP = GaugeFamily("portico_store_up", "0 or 1", "Whether the store answers.", ("store",), "livemin")
KEYS_EXPIRING = GaugeFamily("portico_keys_expiring", "keys", "Keys that will expire soon.", ("within",), "livemax")

# Moderation

DECISIONS = CounterFamily(
    "portico_moderation_decisions_total",
    "requests and answers",
    "Requests and answers in which something was found, by tier and action.",
    ("policy", "direction", "tier", "action"),
)
MODERATION_TIME = HistogramFamily(
    "portico_moderation_time_seconds", "seconds", "Time of looking at a text.", ("tier",), MODERATION_S
)
SCANNED = CounterFamily(
    "portico_moderation_scanned_characters_total", "characters", "Text that rules looked at.", ("direction",)
)
JUDGE_FAILURES = CounterFamily(
    "portico_moderation_judge_failures_total",
    "texts",
    "Texts of which a classifier or judge gave no verdict.",
    ("judge", "failure", "on_failure"),
)
POLICY_RELOADS = CounterFamily(
    "portico_moderation_reloads_total", "reloads", "Policies loaded anew, by outcome.", ("outcome",)
)

# Batches

BATCH_LINES = CounterFamily(
    "portico_batch_lines_total", "lines", "Lines of batches by what became of them.", ("outcome",)
)
BATCHES_RUNNING = GaugeFamily("portico_batches_running", "batches", "Batches that are worked on.")

# Tools

TOOL_CALLS = CounterFamily(
    "portico_tool_calls_total", "calls", "Calls of tools by what came of them.", ("server", "outcome")
)
TOOL_TIME = HistogramFamily("portico_tool_call_seconds", "seconds", "Time of a call of a tool.", ("server",), LATENCY_S)
TOOL_LISTS = CounterFamily(
    "portico_tool_lists_total", "lists", "Questions which tools there are, by what came of them.", ("server", "outcome")
)

# The service itself

TRACE_SPANS = CounterFamily(
    "portico_trace_spans_total", "spans", "Spans of traces by what became of them.", ("outcome",)
)

CPU = CounterFamily("portico_process_cpu_seconds_total", "seconds", "Processor time of the workers.")
RESIDENT = GaugeFamily("portico_process_resident_memory_bytes", "bytes", "Memory of the workers.")
BUILD_INFO = GaugeFamily("portico_build_info", "always 1", "Which version runs.", ("version",))
CERTIFICATE_EXPIRY = GaugeFamily(
    "portico_certificate_expiry_timestamp_seconds", "Unix seconds", "When the certificate of the public port expires."
)

ALL = tuple(one for one in vars().values() if isinstance(one, Family))
