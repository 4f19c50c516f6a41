"""Where decisions of moderation go: the metrics, a line of the log, and the records of their calls."""

from __future__ import annotations

from time import time

from server.call import Call
from server.moderation.decisions import Decision
from server.moderation.jury import NO_VERDICT
from server.moderation.record import record_of
from server.stores.sealing import Sealing
from server.telemetry.log_lines import MatchLine
from server.telemetry.metrics import Metrics
from server.telemetry.request_log import DecisionLine, RequestLog


class DecisionSink:
    """A `moderation.moderator.Told`. With `kept`, each becomes a record, which the call's usage takes along."""

    def __init__(self, metrics: Metrics, log: RequestLog, sealing: Sealing | None, *, kept: bool) -> None:
        """By `sealing` excerpts are encrypted; None: none are kept."""
        self._sealing = sealing
        self._metrics = metrics.moderation
        self._log = log
        self._kept = kept

    def __call__(self, call: Call, decision: Decision) -> None:
        if self._kept:
            call.decisions += (record_of(decision, call.key, len(call.decisions), int(time()), self._sealing),)
        if decision.matches:
            self._count(decision)
            self._log.decided(_line(decision))

    def _count(self, decision: Decision) -> None:
        for tier, action in dict.fromkeys((match.tier, match.action) for match in decision.matches):
            self._metrics.decided(decision.policy, decision.direction, tier, action)
        for match in decision.matches:
            if match.category.startswith(NO_VERDICT):
                failure = match.category.removeprefix(NO_VERDICT)
                on_failure = "closed" if match.action == "block" else "open"
                self._metrics.judge_failed(match.rule, failure, on_failure)


def _line(decision: Decision) -> DecisionLine:
    matches = [
        MatchLine(one.rule, one.category, one.tier, one.action, one.where, one.start, one.end)
        for one in decision.matches
    ]
    return DecisionLine(
        round(time(), 3),
        "moderation",
        decision.call_id,
        decision.trace_id,
        decision.project_id,
        decision.key_id,
        decision.policy,
        decision.policy_version,
        decision.policy_hash,
        decision.direction,
        decision.action,
        matches,
        decision.more,
        {str(channel): size for channel, size in decision.scanned.items()},
        decision.ms,
        decision.text_hmac,
    )
