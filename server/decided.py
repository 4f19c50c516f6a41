"""What policies decided, told to the metrics and the log: features do not know each other."""

from __future__ import annotations

from time import time

from server.moderation.decisions import Decision
from server.moderation.jury import NO_VERDICT
from server.telemetry.metrics import Metrics
from server.telemetry.request_log import DecisionLine, MatchLine, RequestLog


def note_decision(metrics: Metrics, log: RequestLog, decision: Decision) -> None:
    """Count it, and write its line."""
    for tier, action in dict.fromkeys((match.tier, match.action) for match in decision.matches):
        metrics.moderation.decided(decision.policy, decision.direction, tier, action)
    for match in decision.matches:
        if match.category.startswith(NO_VERDICT):
            failure = match.category.removeprefix(NO_VERDICT)
            on_failure = "closed" if match.action == "block" else "open"
            metrics.moderation.judge_failed(match.rule, failure, on_failure)
    matches = [
        MatchLine(one.rule, one.category, one.tier, one.action, one.where, one.start, one.end)
        for one in decision.matches
    ]
    log.decided(
        DecisionLine(
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
    )
