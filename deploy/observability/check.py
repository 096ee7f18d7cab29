"""Checks the dashboard and the rules against a running proxy: called by deploy/observability/check.

Starts the simulated API, a store and the proxy on free ports, makes some traffic, and reads /metrics. Every series that a panel, a
rule or an alert names must be there, with the labels and the values that it names; then a real Prometheus that has scraped
the proxy is asked every expression.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
# Series that Prometheus makes itself.
OWN = {"up", "ALERTS"}
# Series that are there with a certificate or with traces alone, which the proxy of this check has not: documented they are.
SOMETIMES = {"instantly_proxy_certificate_expiry_timestamp_seconds", "instantly_proxy_spans_dropped_total"}
DOCS = HERE.parent.parent / "docs"
RUNBOOKS = (DOCS / "RUNBOOKS.md").read_text()
RULES = HERE / "prometheus" / "rules.yml"
# What an alert's test must show. One whose target is gone fires no more, `InstantlyProxyDown` apart.
CASES = ("fires", "quiet", "sparse", "gone")
# Label values that appear once they were needed: the closed sets of docs/REFERENCE.md.
REFERENCE = (DOCS / "REFERENCE.md").read_text()

faults = []


def expect(holds, fault):
    """Notes a fault; all are told at the end."""
    if not holds:
        faults.append(fault)


def dashboard():
    """Every expression of the dashboard, with its variables filled in."""
    board = json.loads((HERE / "grafana" / "instantly-proxy.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    expect(len(ids) == len(set(ids)), "panels share an id")
    for panel in board["panels"]:
        if panel["type"] != "row":
            expect(panel.get("description"), f"panel {panel['title']} says nothing of itself")
        for target in panel.get("targets", []):
            expr = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h")
            yield f"panel {panel['title']}", expr.replace("$job", ".*").replace("$instance", ".*")


def rules():
    """Every expression of the rules; alerts need a runbook, and say where it is."""
    text = RULES.read_text()
    tests = "".join((HERE / "prometheus" / name).read_text() for name in ("rules_test.yml", "rules_days_test.yml"))
    names = re.findall(r"^ +- (?:record|alert): (\S+)", text, re.M)
    bodies = re.findall(r"^ +expr: (?:>-\n)?((?:.+\n)(?: {10}.+\n)*)", text, re.M)
    if len(names) != len(bodies):
        raise RuntimeError(f"{len(names)} rules and {len(bodies)} expressions")
    for name, body in zip(names, bodies):
        if ":" not in name:
            expect(f"\n## {name}\n" in RUNBOOKS, f"docs/RUNBOOKS.md does not say what to do about {name}")
            url = f"runbook_url: RUNBOOK_BASE/docs/RUNBOOKS.md#{name.lower()}\n"
            expect(url in text, f"{name} does not lead to its runbook")
            cases = "".join(re.findall(rf'^  - name: "{name}: .*\n(?:    .*\n)*', tests, re.M))
            lacking = [case for case in CASES if not re.search(rf"\b{case}", cases)]
            expect(not lacking, f"the tests of {name} lack {lacking}")
        for kept in re.findall(r"\bby \(([^)]*)\)", body):
            expect(kept.startswith("job, namespace"), f"{name} forgets where it is: by ({kept})")
        yield f"rule {name}", " ".join(body.split())


def get(port, path, token=None):
    """The status and text that a loopback port answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, ready):
    """Asks until `ready` holds."""
    for _ in range(200):
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"waited 20 seconds for {what}")


def traffic(data, simulated):
    """A little of each kind."""
    key = re.search(r"(\S+) all:all", simulated)[1]
    label = re.search(r"lead label (\S+)", simulated)[1]
    for path in (f"lead-labels/{label}", f"lead-labels/{label}", "lead-labels?limit=100", "lead-labels?search=x",
                 "campaigns", "lead-labels/019bb76c-0000-7000-8000-000000000000"):
        get(data, f"/api/v2/{path}", key)
    get(data, "/api/v2/campaigns", "garbage")


def series(text):
    """The series of an exposition: names, and for each its labels with their values."""
    found = {}
    for line in text.splitlines():
        if matched := re.match(r"([a-z_:]+)(?:\{(.*)\})? ", line):
            labels = found.setdefault(matched[1], {})
            for name, value in re.findall(r'(\w+)="([^"]*)"', matched[2] or ""):
                labels.setdefault(name, set()).add(value)
    return found


def check_names(where, expr, found, recorded):
    """Every series of an expression is there, and so are its labels and values."""
    for name, selector in re.findall(r"\b((?:instantly_proxy|process)[a-z0-9_:]*|up|ALERTS)\b(?:\{([^}]*)\})?", expr):
        if name in OWN or name in recorded:
            continue
        if name in SOMETIMES:
            expect(f"| `{name}` |" in REFERENCE, f"{where}: docs/REFERENCE.md has no {name}")
            continue
        expect(name in found, f"{where}: there is no series {name}")
        for label, operator, value in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', selector):
            if label in ("job", "instance"):
                continue
            known = found.get(name, {})
            expect(label in known, f"{where}: {name} has no label {label}")
            for one in value.split("|") if "~" in operator else [value]:
                listed = one in known.get(label, ()) or re.search(rf"\b{re.escape(one)}\b", REFERENCE)
                expect(listed, f"{where}: {name} is never {label}={one}")


def check_runbooks(admin, log, found):
    """Every command of docs/RUNBOOKS.md runs against a live proxy, and names series that there are."""
    names = f"""
        ADMIN=http://127.0.0.1:{admin} TOKEN=none
        metric() {{ curl -s "$ADMIN/metrics" | grep "^$1"; }}
        status() {{ curl -s -H "Authorization: Bearer $TOKEN" "$ADMIN/api/status"; }}
        logs() {{ cat {log}; }}
    """
    blocks = re.findall(r"^```sh\n(.*?)^```", RUNBOOKS, re.M | re.S)
    expect(len(blocks) > 25, f"docs/RUNBOOKS.md has {len(blocks)} blocks of commands")
    for block in blocks:
        for name in re.findall(r"metric '?([a-z_]+)", block):
            sometimes = name in SOMETIMES and f"| `{name}` |" in REFERENCE
            parts = (name, f"{name}_total", *(f"{name.removesuffix(end)}" for end in ("_bucket", "_count")))
            expect(sometimes or any(part in found for part in parts), f"docs/RUNBOOKS.md: there is no series {name}")
        ran = subprocess.run(["bash", "-uc", names + block], capture_output=True, text=True, check=False, timeout=60)
        expect(not ran.stderr, f"docs/RUNBOOKS.md: {ran.stderr.strip()} of\n{block}")


def ask_prometheus(admin, expressions, folder):
    """Asks a Prometheus that has scraped the proxy every expression."""
    port = free_port()
    config = pathlib.Path(folder, "prometheus.yml")
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{HERE / 'prometheus' / 'rules.yml'}]\n"
        f"scrape_configs: [{{job_name: instantly-proxy, static_configs: [{{targets: ['127.0.0.1:{admin}']}}]}}]\n")
    server = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def query(expr):
        return json.loads(get(port, "/api/v1/query?query=" + urllib.parse.quote(expr))[1])

    def scraped():
        try:
            return query("instantly_proxy_build_info")["data"]["result"]
        except ValueError:
            return False

    try:
        wait_for("a scrape", scraped)
        for where, expr in expressions:
            answer = query(expr)
            expect(answer["status"] == "success", f"{where}: {answer.get('error')}")
        # A scrape may take a second, which a busy machine can make of one.
        wait_for("a scrape that holds", lambda: [one["value"][1] for one in query("up")["data"]["result"]] == ["1"])
    finally:
        server.kill()
        server.wait()


def store():
    """The program of a Redis or Valkey."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("neither valkey-server nor redis-server is on PATH: apt-get install redis-server")
    return found


def main():
    """Checks all, and tells every fault."""
    binary = os.path.abspath(sys.argv[1])
    expressions = [*dashboard(), *rules()]
    recorded = set(re.findall(r"record: (\S+)", (HERE / "prometheus" / "rules.yml").read_text()))
    data, admin = free_port(), free_port()
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        told = pathlib.Path(folder, "simulated")
        try:
            with told.open("w") as out:
                processes.append(subprocess.Popen([binary, "simulate", "--address", "127.0.0.1:0"], stdout=out))
            wait_for("the simulated API", lambda: "listens on" in told.read_text())
            url = re.search(r"listens on (\S+)", told.read_text())[1]
            shared = free_port()
            processes.append(subprocess.Popen(
                [store(), "--port", str(shared), "--bind", "127.0.0.1", "--save", "", "--dir", folder], stdout=subprocess.DEVNULL))
            secret = pathlib.Path(folder, "secret")
            secret.write_text("0123456789abcdef0123456789abcdef\n")
            environment = {**os.environ, "INSTANTLY_PROXY_UPSTREAM__URL": url,
                           "INSTANTLY_PROXY_SHARED__URL": f"redis://127.0.0.1:{shared}",
                           "INSTANTLY_PROXY_SHARED__SECRET_FILE": str(secret),
                           "INSTANTLY_PROXY_LISTEN__ADDRESS": f"127.0.0.1:{data}",
                           "INSTANTLY_PROXY_ADMIN__ADDRESS": f"127.0.0.1:{admin}"}
            log = pathlib.Path(folder, "log")
            with log.open("w") as lines:
                processes.append(subprocess.Popen([binary], env=environment, stdout=lines))
            wait_for("the proxy", lambda: get(admin, "/readyz")[0] == 200)
            wait_for("a link to the store", lambda: "shared_link_up 1" in get(admin, "/metrics")[1])
            traffic(data, told.read_text())
            found = series(get(admin, "/metrics")[1])
            for where, expr in expressions:
                check_names(where, expr, found, recorded)
            check_runbooks(admin, log, found)
            ask_prometheus(admin, expressions, folder)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
    for fault in faults:
        print(f"deploy/observability/check: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"{len(expressions)} expressions name what the proxy has")


main()
