"""Lints and renders a chart with Helm's own library, where there is no helm command and no cluster.

Helm renders while it installs. Releases are kept in memory (HELM_DRIVER), and a server on a free loopback port says what
kinds of object it knows and takes whatever it is sent.
"""

import asyncio
import http.server
import json
import os
import pathlib
import tempfile
import threading

RESOURCES = {
    "v1": [("configmaps", "ConfigMap"), ("services", "Service"), ("serviceaccounts", "ServiceAccount"),
           ("secrets", "Secret"), ("namespaces", "Namespace")],
    "apps/v1": [("deployments", "Deployment")],
    "policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget")],
    "autoscaling/v2": [("horizontalpodautoscalers", "HorizontalPodAutoscaler")],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy")],
    "monitoring.coreos.com/v1": [("podmonitors", "PodMonitor"), ("servicemonitors", "ServiceMonitor"),
                                 ("prometheusrules", "PrometheusRule")],
}


class Cluster(http.server.BaseHTTPRequestHandler):
    """Says what it knows, and echoes what it is sent."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Says nothing on the terminal."""

    def answer(self, status, body):
        """Sends `body` as JSON."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        """Discovery; no object exists."""
        path = self.path.split("?")[0].strip("/")
        groups = sorted(name.split("/") for name in RESOURCES if "/" in name)
        if path == "version":
            self.answer(200, {"major": "1", "minor": "33", "gitVersion": "v1.33.0"})
        elif path == "api":
            self.answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif path == "apis":
            versions = [{"name": group, "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                         "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version}}
                        for group, version in groups]
            self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": versions})
        elif path in ("api/v1", *(f"apis/{name}" for name in RESOURCES)):
            group = path.removeprefix("apis/").removeprefix("api/")
            kinds = [{"name": plural, "singularName": "", "namespaced": plural != "namespaces", "kind": kind,
                      "verbs": ["create", "get", "list", "patch", "update"]} for plural, kind in RESOURCES[group]]
            self.answer(200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": kinds})
        else:
            self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})

    def do_POST(self):
        """Takes an object."""
        length = int(self.headers.get("Content-Length", 0))
        self.answer(201, json.loads(self.rfile.read(length)))


class Helm:
    """Helm with a cluster that is none."""

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        # The library is Go: it takes the environment that the process was started with.
        if os.environ.get("HELM_DRIVER") != "memory":
            raise RuntimeError("start the process with HELM_DRIVER=memory")
        self.folder = tempfile.TemporaryDirectory()
        cluster = {"cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}, "name": "none"}
        context = {"context": {"cluster": "none", "user": "nobody"}, "name": "none"}
        config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
                  "current-context": "none", "users": [{"name": "nobody", "user": {}}]}
        self.kubeconfig = pathlib.Path(self.folder.name, "kubeconfig")
        self.kubeconfig.write_text(json.dumps(config))

    def _configuration(self):
        import helm_sdkpy
        return helm_sdkpy.Configuration(namespace="instantly-proxy", kubeconfig=str(self.kubeconfig))

    def lint(self, chart):
        """What Helm's linter says of the chart: a list of messages with their severity."""
        import helm_sdkpy
        return asyncio.run(helm_sdkpy.Lint(self._configuration()).run(str(chart)))

    def render(self, chart, values=None, name="instantly-proxy"):
        """The manifest that installing the chart sends, as text. Raises what Helm says against it."""
        import helm_sdkpy
        install = helm_sdkpy.Install(self._configuration())
        release = asyncio.run(install.run(name, str(chart), values=values or {}, wait=False, timeout=20))
        return release["manifest"]
