"""Who uses the service, who meets limits, and whether all get their share."""

from __future__ import annotations

from deploy.grafana.panels import AMBER, GREEN, RED, Board, Row, Variable, bars, mapped, series, stat, steps
from deploy.grafana.queries import (
    RANGE,
    Query,
    busy,
    known,
    named,
    or_none,
    quantile,
    rate_by,
    select,
    top,
    total,
    total_by,
)

REQUESTS, TOKENS = "portico_project_requests_total", "portico_project_tokens_total"
WAIT, SHARE = "portico_project_queue_wait_seconds", "portico_project_share_tokens_total"
LIMITED = 'outcome="limited"'
COMPUTED = 'kind=~"prompt|completion"'
PROJECTS = Variable("project", "Project", "portico_project_info", "name")

NOW_ROW = Row(
    "",
    4,
    [
        stat(
            "Active projects",
            "Projects with calls in the time range. Above metrics.projects of the configuration further ones are "
            "together as `other`.",
            f"count({total_by('project', REQUESTS)} > 0)",
            "none",
            empty="none",
        ),
        stat(
            "Largest share",
            "The share of all tokens, in the time range, of the project that used most.",
            f"max({total_by('project', TOKENS, COMPUTED)}) / (sum(increase({select(TOKENS, COMPUTED)}[{RANGE}])) > 0)",
            "percentunit",
            empty="idle",
            decimals=0,
        ),
        stat(
            "Refused by limits",
            "Share of the projects' calls, in the time range, that a limit or the full queue refused.",
            f"{total(REQUESTS, LIMITED)} / (sum(increase({select(REQUESTS)}[{RANGE}])) > 0)",
            "percentunit",
            steps((0.01, AMBER), (0.1, RED)),
            empty="idle",
            decimals=1,
        ),
        stat(
            "Limits",
            "Degraded: the shared store of the limits does not answer, and each worker enforces its own share.",
            "max(portico_limits_degraded)",
            "none",
            steps((1, RED)),
            empty="no gateway",
            mappings=mapped({0: ("enforced", GREEN), 1: ("degraded", RED)}),
        ),
        stat(
            "Keys that expire",
            "Keys that end within 7 days. `portico keys list` shows which.",
            'max(portico_keys_expiring{within="7d"}) or vector(0)',
            "none",
            steps((1, AMBER)),
        ),
        stat(
            "Usage not delivered",
            "Records of usage that are not in the database yet. A second's calls are normal.",
            "sum(portico_usage_spool_records)",
            "short",
            empty="no gateway",
        ),
    ],
)

USAGE_ROWS = [
    Row(
        "Usage",
        8,
        [
            series(
                "Requests by project",
                "Calls ended per second, of the 10 projects with most.",
                [Query(top(10, named(rate_by("project", REQUESTS))), "{{name}}")],
                "reqps",
                stacked=True,
            ),
            series(
                "Tokens by project",
                "Prompt and completion tokens per second, of the 10 projects with most.",
                [Query(top(10, named(rate_by("project", TOKENS, COMPUTED))), "{{name}}")],
                "suffix: tok/s",
                stacked=True,
            ),
            bars(
                "Tokens in the time range",
                "Prompt and completion tokens of the 10 projects that used most.",
                Query(top(10, named(total_by("project", TOKENS, COMPUTED))), "{{name}}"),
                "short",
            ),
        ],
    )
]

LIMITS_ROW = Row(
    "Limits",
    8,
    [
        series(
            "Refused by limit",
            "Calls per second, by the kind of the limit that refused them. All projects together.",
            [Query(or_none(rate_by("limit", "portico_limited_total"), "limit"), "{{limit}}")],
            "reqps",
            stacked=True,
        ),
        series(
            "Refused by project",
            "Calls per second that a limit or the full queue refused, of the 10 projects with most.",
            [Query(or_none(busy(top(10, named(rate_by("project", REQUESTS, LIMITED)))), "name"), "{{name}}")],
            "reqps",
            stacked=True,
        ),
        series(
            "Outcomes",
            "Calls ended per second of the chosen projects, by how they ended.",
            [Query(busy(f"sum by (outcome) {named(rate_by('project, outcome', REQUESTS))}"), "{{outcome}}")],
            "reqps",
            stacked=True,
        ),
    ],
)

FAIRNESS_ROW = Row(
    "Fairness",
    8,
    [
        series(
            "Queue wait by project, p95",
            "Of the calls that had to wait for a busy engine. A flood makes its own project wait, not the others.",
            [Query(or_none(top(10, named(f"({known(quantile(0.95, WAIT, by='project'))})")), "name"), "{{name}}")],
            "s",
        ),
        series(
            "Service by project",
            "What the fair queue charged per second: a token of the prompt counts 1, one of the answer 2. While all "
            "wait, projects of one weight get the same.",
            [Query(top(10, named(rate_by("project", SHARE))), "{{name}}")],
            "suffix: tok/s",
        ),
        bars(
            "Share of service",
            "What the fair queue charged in the time range, of the 10 projects with most.",
            Query(
                f"{top(10, named(total_by('project', SHARE)))} / scalar(sum(increase({select(SHARE)}[{RANGE}])))",
                "{{name}}",
            ),
            "percentunit",
            max=1,
        ),
    ],
)

TENANTS = Board(
    "portico-tenants",
    "Portico: tenants",
    "Who uses the service, who meets limits, and whether all get their share.",
    [NOW_ROW, *USAGE_ROWS, LIMITS_ROW, FAIRNESS_ROW],
    [PROJECTS],
    hours=1,
)
