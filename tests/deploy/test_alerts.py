"""deploy/prometheus/rules: each alert fires when it should, keeps silent when it should, and says what to do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import ROOT, Rule, all_rules

ALERTS = {rule["alert"]: rule for rule in all_rules("alerts")}
MODEL, INSTANCE = {"model": "m"}, {"instance": "g"}


@dataclass(frozen=True)
class Fires:
    """One alert at this time, with labels beside its severity. Series have a value each minute, as in promtool."""

    alert: str
    at: str
    series: Mapping[str, str]
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Silent:
    alert: str
    because: str
    at: str
    series: Mapping[str, str]


def requests(**outcomes: str) -> dict[str, str]:
    return {f'portico_requests_total{{model="m", outcome="{outcome}"}}': values for outcome, values in outcomes.items()}


def first_tokens(asked: str, in_time: str) -> dict[str, str]:
    name = "portico_time_to_first_token_seconds"
    return {f'{name}_count{{model="m"}}': asked, f'{name}_bucket{{model="m", le="2.0"}}': in_time}


def answers(**bounds: str) -> dict[str, str]:
    """By upper bounds: `s2` is 2 s, `inf` all."""
    name, chats = "portico_short_answer_seconds_bucket", 'model="m"'
    bound = {"s2": "2.0", "s4": "4.0", "inf": "+Inf"}
    return {f'{name}{{{chats}, le="{bound[key]}"}}': values for key, values in bounds.items()}


QUEUED = 'portico_queued_requests{model="m", class="standard"}'
FAILURES = 'portico_moderation_judge_failures_total{judge="j", failure="late", on_failure="%s"}'
CERTIFICATE = 'portico_certificate_expiry_timestamp_seconds{instance="g"}'
DAY = 86400

FIRES = [
    Fires(
        "PorticoErrorBudgetBurnsFast",
        "70m",
        requests(ok="0+54x70", engine_error="0+6x70", unauthorized="0+9000x70"),
        "10% of calls fail (m)",
        MODEL,
    ),
    Fires(
        "PorticoErrorBudgetBurnsSlowly",
        "5h",
        requests(ok="0+98x300", engine_timeout="0+2x300"),
        "2% of calls fail (m), for hours",
        MODEL,
    ),
    Fires(
        "PorticoFirstTokenBudgetBurnsFast",
        "70m",
        first_tokens("0+10x70", "0+2x70"),
        "80% of streams of m wait over 2 s for their first token",
        MODEL,
    ),
    Fires(
        "PorticoFirstTokenBudgetBurnsSlowly",
        "5h",
        first_tokens("0+100x300", "0+80x300"),
        "20% of streams of m wait over 2 s for their first token, for hours",
        MODEL,
    ),
    Fires(
        "PorticoAnswersSlow",
        "20m",
        answers(s2="0+90x20", s4="0+100x20", inf="0+100x20"),
        "One short answer in twenty of m takes more than 3s",
        MODEL,
    ),
    Fires(
        "PorticoGatewayDown",
        "8m",
        {'up{job="portico", instance="g"}': "1x5 0x5"},
        "A gateway cannot be scraped: g",
        INSTANCE | {"job": "portico"},
    ),
    Fires("PorticoGatewayDown", "8m", {'up{job="vllm"}': "1x9"}, "A gateway cannot be scraped", {"job": "portico"}),
    Fires(
        "PorticoEngineDown",
        "15m",
        {'portico_engine_up{engine="one"}': "1x5 0x10", 'portico_engine_up{engine="two"}': "1x15"},
        "The engine one does not answer its health probe",
        {"engine": "one"},
    ),
    Fires(
        "PorticoBreakerOpen",
        "10m",
        {'portico_breaker_state{engine="one"}': "2x10"},
        "The engine one answers its probe but fails its calls",
        {"engine": "one"},
    ),
    Fires("PorticoQueueGrows", "15m", {QUEUED: "0+2x20"}, "30 calls wait for m, and they become more", MODEL),
    Fires(
        "PorticoStoreDown",
        "5m",
        {'portico_store_up{store="durable"}': "0x5", 'portico_store_up{store="volatile"}': "1x5"},
        "The durable store does not answer",
        {"store": "durable"},
    ),
    Fires(
        "PorticoLimitsDegraded",
        "5m",
        {'portico_limits_degraded{instance="g"}': "1x5"},
        "The gateway g enforces limits without their shared store",
        INSTANCE,
    ),
    Fires(
        "PorticoUsageSpoolGrows",
        "20m",
        {"portico_usage_spool_records": "0+60x30", **requests(ok="0+60x30")},
        "Usage of 1200 calls is not in the database",
    ),
    Fires("PorticoUsageLost", "10m", {"portico_usage_lost_records_total": "0 0 0 5x10"}, "Usage of 5 calls was lost"),
    Fires(
        "PorticoModerationFailsOpen",
        "20m",
        {FAILURES % "open": "0+1x20"},
        "About 10 texts passed without a verdict of j in 10 minutes",
        {"judge": "j"},
    ),
    Fires(
        "PorticoPolicyNotLoaded",
        "10m",
        {'portico_moderation_reloads_total{outcome="failed", instance="g"}': "0 0 1x10"},
        "The gateway g could not load a changed policy",
        INSTANCE,
    ),
    Fires(
        "PorticoCertificateExpires",
        "90m",
        {CERTIFICATE: f"{10 * DAY}x90"},
        "The certificate of g expires in 9d 22h 30m 0s",
        INSTANCE,
    ),
    Fires(
        "PorticoKeysExpire",
        "90m",
        {'portico_keys_expiring{within="7d"}': "3x90"},
        "3 keys expire within 7d",
        {"within": "7d"},
    ),
]

SILENT = [
    Silent("PorticoErrorBudgetBurnsFast", "few fail", "70m", requests(ok="0+98x70", engine_error="0+2x70")),
    Silent(
        "PorticoErrorBudgetBurnsFast",
        "it is over",
        "75m",
        requests(ok="0+50x30 1550+100x50", engine_error="0+50x30 1500x50"),
    ),
    Silent("PorticoErrorBudgetBurnsFast", "few calls", "70m", requests(ok="0+0.1x70", engine_error="0+0.1x70")),
    Silent("PorticoErrorBudgetBurnsFast", "clients' mistakes", "70m", requests(ok="0+1x70", invalid="0+99x70")),
    Silent("PorticoErrorBudgetBurnsSlowly", "within budget", "5h", requests(ok="0+996x300", engine_error="0+4x300")),
    Silent("PorticoFirstTokenBudgetBurnsFast", "few are slow", "70m", first_tokens("0+100x70", "0+75x70")),
    Silent("PorticoFirstTokenBudgetBurnsFast", "few calls", "70m", first_tokens("0+0.1x70", "0x70")),
    Silent("PorticoFirstTokenBudgetBurnsSlowly", "within budget", "5h", first_tokens("0+100x300", "0+96x300")),
    Silent("PorticoAnswersSlow", "few are slow", "20m", answers(s2="0+96x20", s4="0+100x20", inf="0+100x20")),
    Silent("PorticoGatewayDown", "up", "8m", {'up{job="portico", instance="g"}': "1x8"}),
    Silent("PorticoEngineDown", "it restarts", "8m", {'portico_engine_up{engine="one"}': "1x4 0x4"}),
    Silent("PorticoBreakerOpen", "it tries again", "10m", {'portico_breaker_state{engine="one"}': "2 2 2 1 0x6"}),
    Silent("PorticoQueueGrows", "it does not grow", "15m", {QUEUED: "30x15"}),
    Silent("PorticoQueueGrows", "it is short", "15m", {QUEUED: "0+0.5x15"}),
    Silent("PorticoStoreDown", "up", "5m", {'portico_store_up{store="durable"}': "1x5"}),
    Silent("PorticoLimitsDegraded", "a blink", "5m", {'portico_limits_degraded{instance="g"}': "0 0 0 1 0 0"}),
    Silent(
        "PorticoUsageSpoolGrows",
        "a second of a busy gateway",
        "20m",
        {"portico_usage_spool_records": "1000x20", **requests(ok="0+60000x20")},
    ),
    Silent("PorticoUsageLost", "none since", "30m", {"portico_usage_lost_records_total": "0 0 5x30"}),
    Silent("PorticoModerationFailsOpen", "it fails closed", "20m", {FAILURES % "closed": "0+1x20"}),
    Silent("PorticoModerationFailsOpen", "once", "20m", {FAILURES % "open": "0 0 1x20"}),
    Silent("PorticoPolicyNotLoaded", "loaded", "10m", {'portico_moderation_reloads_total{outcome="ok"}': "0+1x10"}),
    Silent("PorticoCertificateExpires", "in a month", "90m", {CERTIFICATE: f"{30 * DAY}x90"}),
    Silent("PorticoCertificateExpires", "no certificate", "90m", {CERTIFICATE: "0x90"}),
    Silent("PorticoKeysExpire", "none", "90m", {'portico_keys_expiring{within="7d"}': "0x90"}),
]


def name_of(case: Fires | Silent) -> str:
    what = case.because if isinstance(case, Silent) else case.summary
    return f"{case.alert}: {what}"


def expected(case: Fires | Silent) -> list[dict[str, Any]]:
    if isinstance(case, Silent):
        return []
    rule = ALERTS[case.alert]
    annotations = rule["annotations"] | {"summary": case.summary}
    return [{"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}]


@pytest.mark.parametrize("case", [*FIRES, *SILENT], ids=name_of)
def test_alert(case: Fires | Silent, promtool: str, tmp_path: Path) -> None:
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected(case)}],
    }
    files = [str(file) for file in sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))]
    written = tmp_path / "case.yml"
    written.write_text(yaml.safe_dump({"rule_files": files, "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", written], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_made_to_fire_and_to_keep_silent() -> None:
    assert {case.alert for case in FIRES} == {case.alert for case in SILENT} == set(ALERTS)


def test_a_silent_case_would_fire_if_it_were_worse() -> None:
    """So that none is silent because it names a series that the alert does not read."""
    read = {case.alert: {re.split(r"[{]", name)[0] for name in case.series} for case in FIRES}
    for case in SILENT:
        assert {name.partition("{")[0] for name in case.series} <= read[case.alert] | {"up"}, case


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_every_alert_leads_to_its_heading(rule: Rule) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    titles = re.findall(r"^### (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert f"`{rule['alert']}`" in titles


def test_no_heading_lacks_its_alert() -> None:
    titles = re.findall(
        r"^### `(Portico\w+)`$", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert titles == list(ALERTS)


def test_alerts_say_how_urgent_they_are_and_what_it_means() -> None:
    for rule in ALERTS.values():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["description"].endswith(".")
        assert not rule["annotations"]["summary"].endswith(".")
