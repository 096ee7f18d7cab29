"""What objects of the Prometheus Operator may hold: the fields that the chart and the manifests use, kept by hand.

From the definitions of prometheus-operator 0.91.0 (PodMonitor, ServiceMonitor) and 0.82.2 (PrometheusRule), which are not at hand
where this runs. A field that they know and this does not is a fault of this list: add it.
"""

TEXT, TEXTS, ANYTHING = str, {str: str}, object
SELECTOR = {"matchLabels": TEXTS}
RELABELING = {"action": TEXT, "sourceLabels": [TEXT], "separator": TEXT, "targetLabel": TEXT, "regex": TEXT, "replacement": TEXT,
              "modulus": int}
ENDPOINT = {"port": TEXT, "path": TEXT, "interval": TEXT, "scrapeTimeout": TEXT, "relabelings": [RELABELING],
            "metricRelabelings": [RELABELING]}
MONITOR = {"selector": SELECTOR, "namespaceSelector": {"any": bool, "matchNames": [TEXT]}}
RULE = {"alert": TEXT, "record": TEXT, "expr": TEXT, "for": TEXT, "keep_firing_for": TEXT, "labels": TEXTS, "annotations": TEXTS}
METADATA = {"name": TEXT, "namespace": TEXT, "labels": TEXTS, "annotations": TEXTS}
KNOWN = {
    "PodMonitor": {**MONITOR, "podMetricsEndpoints": [ENDPOINT]},
    "ServiceMonitor": {**MONITOR, "endpoints": [ENDPOINT]},
    "PrometheusRule": {"groups": [{"name": TEXT, "interval": TEXT, "rules": [RULE]}]},
}


def faults(found, known, where):
    """What of a value is not as it is known to be, one text each."""
    if isinstance(known, dict) and set(known) == {str}:
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            yield f"{where} is no map of texts"
    elif isinstance(known, dict):
        if not isinstance(found, dict):
            yield f"{where} is no map"
            return
        for name, value in found.items():
            if name in known:
                yield from faults(value, known[name], f"{where}.{name}")
            else:
                yield f"{where}.{name} is not known"
    elif isinstance(known, list):
        if not isinstance(found, list):
            yield f"{where} is no list"
            return
        for at, value in enumerate(found):
            yield from faults(value, known[0], f"{where}.{at}")
    elif not isinstance(found, known):
        yield f"{where} is {found!r}"


def validate(one):
    """What is wrong with an object of the Operator's, one text each."""
    known = {"apiVersion": TEXT, "kind": TEXT, "metadata": METADATA, "spec": KNOWN[one["kind"]]}
    if one["apiVersion"] != "monitoring.coreos.com/v1":
        yield f"apiVersion is {one['apiVersion']}"
    yield from faults(one, known, one["kind"])
    for group in one["spec"].get("groups", []):
        for rule in group["rules"]:
            if ("alert" in rule) == ("record" in rule) or "expr" not in rule:
                yield f"a rule of {group['name']} is neither an alert nor a record: {rule}"
