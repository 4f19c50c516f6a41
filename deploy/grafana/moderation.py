"""What content policies find and do, what that costs, and whether all of it works."""

from __future__ import annotations

from deploy.grafana.panels import AMBER, RED, Board, Row, Variable, series, stat, steps
from deploy.grafana.queries import Query, known, or_none, quantile, rate_by, total, total_by

DECISIONS = "portico_moderation_decisions_total"
FAILURES = "portico_moderation_judge_failures_total"
TIME = "portico_moderation_time_seconds"
POLICY = 'policy=~"$policy"'
OPEN = 'on_failure="open"'


def decided(title: str, help_text: str, action: str) -> dict[str, object]:
    """How often an action was taken."""
    return stat(title, help_text, total(DECISIONS, POLICY, f'action="{action}"'), "short", decimals=0)


MODERATION = Board(
    "portico-moderation",
    "Portico: moderation",
    "What content policies find and do, what that costs, and whether all of it works.",
    [
        Row(
            "In the time range",
            4,
            [
                decided("Blocked", "Requests and answers that a policy blocked.", "block"),
                decided("Redacted", "Requests and answers in which a policy replaced something.", "redact"),
                decided("Flagged", "Requests and answers that passed with a note in the log.", "flag"),
                decided("In the shadow", "What rules on trial would have acted on. Nothing was done.", "shadow"),
                stat(
                    "Passed unjudged",
                    "Texts that passed because their judge gave no verdict and the policy says on_failure open.",
                    total(FAILURES, OPEN),
                    "short",
                    steps((1, RED)),
                    decimals=0,
                ),
                stat(
                    "Refused unjudged",
                    "Calls that were refused (503 moderation_unavailable) because a judge gave no verdict.",
                    total("portico_requests_total", 'outcome="moderation_unavailable"'),
                    "short",
                    steps((1, AMBER)),
                    decimals=0,
                ),
            ],
        ),
        Row(
            "What was decided",
            8,
            [
                series(
                    "Decisions by action",
                    "Requests and answers per second in which something was found, by what was done about it.",
                    [Query(or_none(rate_by("action", DECISIONS, POLICY), "action"), "{{action}}")],
                    "ops",
                    stacked=True,
                ),
                series(
                    "Decisions by policy",
                    "The same by policy. A jump after a change of a policy is a rule that finds too much.",
                    [Query(or_none(rate_by("policy", DECISIONS, POLICY), "policy"), "{{policy}}")],
                    "ops",
                    stacked=True,
                ),
                series(
                    "Decisions by direction and tier",
                    "The same by who found it (rules, classifier, judge), in requests (input) or answers (output).",
                    [
                        Query(
                            or_none(rate_by("direction, tier", DECISIONS, POLICY), "direction"),
                            "{{direction}} {{tier}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
            ],
        ),
        Row(
            "What it costs",
            8,
            [
                series(
                    "Time of looking, p95",
                    "For rules, the CPU time that a call's text took; for a judge, until its verdict came.",
                    [Query(or_none(known(quantile(0.95, TIME, by="tier")), "tier"), "{{tier}}")],
                    "s",
                ),
                series(
                    "Text looked at",
                    "Characters per second that rules looked at, in requests (input) and answers (output).",
                    [
                        Query(
                            or_none(rate_by("direction", "portico_moderation_scanned_characters_total"), "direction"),
                            "{{direction}}",
                        )
                    ],
                    "suffix: chars/s",
                ),
            ],
        ),
        Row(
            "Whether it works",
            8,
            [
                series(
                    "Verdicts that did not come",
                    "Texts per second of which a judge gave no verdict, and why.",
                    [Query(or_none(rate_by("judge, failure", FAILURES), "judge"), "{{judge}} {{failure}}")],
                    "ops",
                    stacked=True,
                ),
                series(
                    "Policies loaded anew",
                    "After a change of their files, in the last 10 minutes. failed: the policy before stays in "
                    "force, and the log says why.",
                    [Query(total_by("outcome", "portico_moderation_reloads_total", window="10m"), "{{outcome}}")],
                    "short",
                ),
            ],
        ),
    ],
    [Variable("policy", "Policy", DECISIONS, "policy")],
    hours=6,
)
