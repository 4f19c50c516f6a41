"""Schemas of the custom resources in deploy/kubernetes, with the fields that are used there and no others.

Names, types and what is required are those of the operators' own definitions: monitoring.coreos.com/v1 (Prometheus
operator 0.82), keda.sh/v1alpha1 (KEDA 2.16), leaderworkerset.x-k8s.io/v1 (LeaderWorkerSet 0.6). A misspelled field is
refused, which a cluster would drop in silence.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
DURATION: Schema = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}


def of(required: str = "", **fields: Schema) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "required": required.split(), "additionalProperties": False, "properties": fields}


def many(item: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": item}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def resource(spec: Schema) -> Schema:
    metadata = of("name", name=TEXT, namespace=TEXT, labels=LABELS, annotations=LABELS)
    return of("apiVersion kind metadata spec", apiVersion=TEXT, kind=TEXT, metadata=metadata, spec=spec)


RELABELING = of(
    sourceLabels=many(TEXT), targetLabel=TEXT, regex=TEXT, replacement=TEXT, action=one_of("replace", "keep", "drop")
)
ENDPOINT = of(
    "port", port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION, metricRelabelings=many(RELABELING)
)
RULE: Schema = {
    **of(
        "expr",
        alert=TEXT,
        record=TEXT,
        expr={"type": ["string", "integer"]},
        labels=LABELS,
        annotations=LABELS,
        keep_firing_for=DURATION,
        **{"for": DURATION},
    ),
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
}
POLICY = of("type value periodSeconds", type=one_of("Pods", "Percent"), value=COUNT, periodSeconds=COUNT)
BEHAVIOUR = of(stabilizationWindowSeconds=COUNT, policies=many(POLICY), selectPolicy=one_of("Max", "Min", "Disabled"))
TRIGGER = of(
    "type metadata", type=TEXT, name=TEXT, metadata=LABELS, metricType=one_of("Value", "AverageValue", "Utilization")
)
POD_TEMPLATE = of("spec", metadata=of(labels=LABELS, annotations=LABELS), spec={"type": "object"})

SCHEMAS: dict[tuple[str, str], Schema] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): resource(
        of("selector endpoints", selector=of(matchLabels=LABELS), endpoints=many(ENDPOINT))
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): resource(
        of(
            "groups",
            groups={"type": "array", "items": of("name rules", name=TEXT, interval=DURATION, rules=many(RULE))},
        )
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): resource(
        of(
            "scaleTargetRef triggers",
            scaleTargetRef=of("name", name=TEXT, kind=TEXT, apiVersion=TEXT),
            minReplicaCount=COUNT,
            maxReplicaCount=COUNT,
            pollingInterval=COUNT,
            cooldownPeriod=COUNT,
            advanced=of(horizontalPodAutoscalerConfig=of(behavior=of(scaleDown=BEHAVIOUR, scaleUp=BEHAVIOUR))),
            triggers=many(TRIGGER),
        )
    ),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"): resource(
        of(
            "leaderWorkerTemplate",
            replicas=COUNT,
            leaderWorkerTemplate=of(
                "workerTemplate",
                size=COUNT,
                restartPolicy=one_of("RecreateGroupOnPodRestart", "None"),
                leaderTemplate=POD_TEMPLATE,
                workerTemplate=POD_TEMPLATE,
            ),
        )
    ),
}
