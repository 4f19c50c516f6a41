"""What is noted of a request that did not become a call: counted, and its line written."""

from __future__ import annotations

from server.telemetry.metrics import Metrics
from server.telemetry.request_log import RequestLog


class Refusals:
    def __init__(self, metrics: Metrics, log: RequestLog) -> None:
        self._metrics = metrics
        self._log = log

    def note(
        self, request_id: str, endpoint: str, status: int, outcome: str, seconds: float, trace_id: str | None = None
    ) -> None:
        """`endpoint` is a name of ours and never the path, which is the client's text."""
        self._metrics.refused(endpoint, outcome, seconds)
        self._log.refused(request_id, endpoint, status, outcome, seconds, trace_id)
