"""Renders the chart with every set of values in cases.yaml, and checks what comes of each: called by deploy/check.py."""

import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

CASES = pathlib.Path(__file__).parent / "cases.yaml"


def at(value, path):
    """What stands at a path such as `spec.ports.0.port`; nothing where nothing does. A name may hold dots."""
    if not path:
        return value
    if isinstance(value, dict):
        parts = path.split(".")
        for end in range(len(parts), 0, -1):
            if (name := ".".join(parts[:end])) in value:
                return at(value[name], ".".join(parts[end:]))
        return None
    if isinstance(value, list):
        first, _, rest = path.partition(".")
        return at(value[int(first)], rest) if int(first) < len(value) else None
    return None


def chosen(objects, kind):
    """The one object of `KIND` or `KIND/NAME`; nothing where there is none."""
    kind, _, name = kind.partition("/")
    found = [one for one in objects if one["kind"] == kind and (not name or one["metadata"]["name"] == name)]
    if not name and len(found) > 1:
        found = found[:1]
    return found[0] if found else None


def check_rules(rule):
    """What promtool says against the groups of a PrometheusRule."""
    if shutil.which("promtool") is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(rule["spec"], file)
        file.flush()
        checked = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
    return None if checked.returncode == 0 else checked.stdout + checked.stderr


def run(helm, chart, expect, validate, accepted):
    """Renders all; returns how many sets rendered and how many were refused."""
    rendered = refused = 0
    for case in yaml.safe_load(CASES.read_text()):
        where = f"the chart with {case['name']}"
        try:
            text = helm.render(chart, case.get("values"), case.get("release", "instantly-proxy"))
        except Exception as fault:  # pylint: disable=broad-except
            wanted = case.get("refused")
            expect(wanted, f"{where}: {fault}")
            expect(not wanted or wanted in str(fault), f"{where}: refused, and not for {wanted}: {fault}")
            refused += 1
            continue
        rendered += 1
        expect("refused" not in case, f"{where}: taken")
        objects = [one for one in yaml.safe_load_all(text) if one]
        validate(where, objects)
        names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
        expect(len(names) == len(set(names)), f"{where}: two objects of one name")
        for kind in case.get("lacks", []):
            expect(chosen(objects, kind) is None, f"{where}: there is a {kind}")
        for kind, path, wanted in case.get("says", []):
            found = at(chosen(objects, kind) or {}, path)
            expect(found == wanted, f"{where}: {kind} {path} is {found!r}, not {wanted!r}")
        for rule in (one for one in objects if one["kind"] == "PrometheusRule"):
            said = check_rules(rule)
            expect(said is None, f"{where}: promtool: {said}")
            expect("RUNBOOK_BASE" not in text, f"{where}: a runbook_url leads nowhere")
        configured = [one for one in objects if "instantly-proxy.toml" in one.get("data", {})]
        if configured:
            variables = {entry["name"]: entry["value"] for entry in (case.get("values") or {}).get("env", [])
                         if re.match("INSTANTLY_PROXY_.*__", entry["name"])}
            accepted(where, configured[0]["data"]["instantly-proxy.toml"], variables)
    return rendered, refused
