"""Checks the manifests: called by deploy/check, which brings the tools.

Each overlay builds and every object fits the Kubernetes schemas, strictly. The chart lints, renders the same objects as the
gateway's overlay, and refuses what its schema forbids. Ports, probes and times of the manifests are those of the
configuration that they mount, which the proxy itself accepts.
"""

import copy
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib

import kubernetes_validate
import yaml

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent / "helm"))
import monitors  # noqa: E402
import render  # noqa: E402
import table  # noqa: E402

DEPLOY = pathlib.Path(__file__).parent
OVERLAYS = DEPLOY / "kustomize" / "overlays"
CHART = DEPLOY / "helm" / "instantly-proxy"
# The first with native sidecars switched on, the newest, and one between.
VERSIONS = ["1.29", "1.33", "1.37"]

faults = []


def expect(holds, fault):
    """Notes a fault; all are told at the end."""
    if not holds:
        faults.append(fault)


def objects(text):
    """The objects of a manifest."""
    return [found for found in yaml.safe_load_all(text) if found]


def overlay(name):
    """The objects of an overlay."""
    built = subprocess.run(["kubectl", "kustomize", OVERLAYS / name], capture_output=True, text=True, check=False)
    expect(built.returncode == 0, f"overlay {name} does not build: {built.stderr.strip()}")
    return objects(built.stdout)


def validate(where, found):
    """Every object against every version, unknown fields refused."""
    for one in found:
        if one["kind"] in monitors.KNOWN:
            # Not Kubernetes' own, so their schema is not at hand.
            for fault in monitors.validate(one):
                expect(False, f"{where}: {fault}")
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as fault:
                expect(False, f"{where}: {one['kind']} {one['metadata']['name']} in {version}: {fault.message}")


def only(found, kind):
    """The one object of a kind."""
    chosen = [one for one in found if one["kind"] == kind]
    expect(len(chosen) == 1, f"{len(chosen)} objects of kind {kind}")
    return chosen[0]


def seconds(text):
    """A duration of the configuration."""
    return float(re.fullmatch(r"([0-9.]+)s", text)[1])


def bytes_of(text):
    """A memory quantity, or a size of the configuration."""
    number, unit = re.fullmatch(r"([0-9]+)(Mi|MiB|Gi|GiB)", text).groups()
    return int(number) * (1 << 20 if unit.startswith("M") else 1 << 30)


def check_accepted(binary, where, text, variables=None):
    """The proxy itself accepts the configuration, with these variables; the files that it names are made for it."""
    with tempfile.TemporaryDirectory() as folder:
        token = pathlib.Path(folder, "token")
        token.write_text("a-token-that-is-long-enough")
        text = re.sub(r"""token_file = ["'].*["']""", f"token_file = {json.dumps(str(token))}", text)
        chain, key = pathlib.Path(folder, "tls.crt"), pathlib.Path(folder, "tls.key")
        if "[listen.tls]" in text:
            make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90",
                    "-subj", "/CN=gateway", "-addext", "subjectAltName=DNS:gateway", "-keyout", key, "-out", chain]
            subprocess.run(make, capture_output=True, check=True)
            text = re.sub(r"""certificate = ["'].*["']""", f"certificate = {json.dumps(str(chain))}", text)
            text = re.sub(r"""\nkey = ["'].*["']""", f"\nkey = {json.dumps(str(key))}", text)
        for name in ("secret", "password"):
            file = pathlib.Path(folder, name)
            file.write_text("0123456789abcdef0123456789abcdef\n")
            text = re.sub(rf'\b{name}_file = ".*"', f"{name}_file = {json.dumps(str(file))}", text)
        config = pathlib.Path(folder, "instantly-proxy.toml")
        config.write_text(text)
        checked = subprocess.run([binary, "check", "--config", config], capture_output=True, text=True, check=False,
                                 env={**os.environ, **(variables or {})})
        expect(checked.returncode == 0, f"{where}: the configuration is refused: {checked.stdout}{checked.stderr}")


def check_pod(where, pod, proxy, config):
    """What a pod says of the proxy agrees with the proxy's configuration."""
    listen, admin = config.get("listen", {}), config.get("admin", {})
    drain = seconds(listen.get("drain_delay", "5s")) + seconds(listen.get("drain_timeout", "25s"))
    expect(pod["terminationGracePeriodSeconds"] > drain, f"{where}: killed before the drain of {drain} s ends")
    for probe in ("livenessProbe", "startupProbe", "readinessProbe"):
        patience = proxy.get(probe, {}).get("periodSeconds", 0) * proxy.get(probe, {}).get("failureThreshold", 3)
        if probe == "livenessProbe":
            expect(patience > drain, f"{where}: a drain of {drain} s is taken for death after {patience} s")
    cache = bytes_of(config.get("cache", {}).get("max_bytes", "64MiB"))
    memory = bytes_of(proxy["resources"]["limits"]["memory"])
    expect(memory >= cache + (64 << 20) + memory // 3, f"{where}: {memory >> 20} MiB do not hold a cache of {cache >> 20} MiB")
    expect(pod["enableServiceLinks"] is False, f"{where}: service links")
    expect(pod["automountServiceAccountToken"] is False, f"{where}: an account token is mounted")
    for container in pod.get("initContainers", []) + pod["containers"]:
        context = container["securityContext"]
        restricted = (
            context["allowPrivilegeEscalation"] is False
            and context["readOnlyRootFilesystem"] is True
            and context["capabilities"] == {"drop": ["ALL"]}
            and pod["securityContext"]["runAsNonRoot"] is True
            and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        )
        expect(restricted, f"{where}: {container['name']} is outside the restricted profile")
    # In a pod of somebody else's its names say whose they are.
    ports = {port["name"].removeprefix("proxy-"): port["containerPort"] for port in proxy.get("ports", [])}
    for name, address in (("http", listen.get("address", "127.0.0.1:8080")), ("admin", admin.get("address", "127.0.0.1:8081"))):
        host, port = address.rsplit(":", 1)
        if name in ports:
            expect(ports[name] == int(port), f"{where}: port {name} is {ports[name]}, the configuration says {address}")
            expect(host in ("0.0.0.0", "[::]"), f"{where}: port {name} cannot be reached at {address}")
        else:
            expect(host in ("127.0.0.1", "[::1]"), f"{where}: {address} is open, and no port says so")
    mounted = {mount["mountPath"]: mount["name"] for mount in proxy["volumeMounts"]}
    file = proxy["args"][proxy["args"].index("--config") + 1]
    expect(str(pathlib.Path(file).parent) in mounted, f"{where}: nothing is mounted for {file}")
    token = admin.get("token_file")
    shared = config.get("shared", {})
    for secret in (token, shared.get("secret_file"), shared.get("password_file")):
        expect(secret is None or str(pathlib.Path(secret).parent) in mounted, f"{where}: nothing is mounted for {secret}")
    return ports


def check_gateway(binary, where, found):
    """The gateway: one replica without a store, probes on the admin port, a Service and a NetworkPolicy that reach its ports."""
    text = only(found, "ConfigMap")["data"]["instantly-proxy.toml"]
    check_accepted(binary, where, text)
    deployment = only(found, "Deployment")
    if "shared" in tomllib.loads(text):
        check_fleet(where, found, tomllib.loads(text))
    else:
        expect(deployment["spec"]["replicas"] == 1, f"{where}: more than one replica")
    rolling = deployment["spec"]["strategy"]["rollingUpdate"]
    expect(rolling == {"maxSurge": 1, "maxUnavailable": 0}, f"{where}: {rolling}")
    template = deployment["spec"]["template"]
    pod = template["spec"]
    proxy = pod["containers"][0]
    ports = check_pod(where, pod, proxy, tomllib.loads(text))
    for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        asked = proxy[probe]["httpGet"]
        expect(asked == {"path": path, "port": "admin"}, f"{where}: {probe} asks {asked}")
    labels = template["metadata"]["labels"].items()
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        only(found, "Service")["spec"]["selector"],
        only(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        expect(selector.items() <= labels, f"{where}: {selector} selects none of these pods")
    expect(only(found, "Service")["spec"]["ports"][0]["targetPort"] in ports, f"{where}: the Service's port is none of the pod's")


def check_fleet(where, found, config):
    """A gateway with a store: three replicas at least, kept in a rollout and a drain, with a way to the store."""
    deployment, autoscaler = only(found, "Deployment"), only(found, "HorizontalPodAutoscaler")["spec"]
    name = deployment["metadata"]["name"]
    expect("replicas" not in deployment["spec"], f"{where}: the number of replicas is the autoscaler's")
    expect(autoscaler["minReplicas"] >= 3, f"{where}: {autoscaler['minReplicas']} replicas")
    divisor = config["shield"]["replicas"]
    expect(divisor == autoscaler["minReplicas"], f"{where}: without the store the limit is divided by {divisor}")
    expect(autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
           f"{where}: the autoscaler's target is {autoscaler['scaleTargetRef']}")
    # A metric that nobody serves keeps the autoscaler from scaling down.
    kinds = {metric["type"] for metric in autoscaler["metrics"]}
    expect(kinds == {"Resource"}, f"{where}: scaled by {kinds} without being asked to")
    budget = only(found, "PodDisruptionBudget")["spec"]
    expect(budget["maxUnavailable"] == 1, f"{where}: a drain takes {budget}")
    template = deployment["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    for selector in (budget["selector"]["matchLabels"], spread):
        expect(selector.items() <= template["metadata"]["labels"].items(), f"{where}: {selector} selects none of these pods")
    port = int(re.fullmatch(r"rediss?://[^:/]+:([0-9]+)(/[0-9]+)?", config["shared"]["url"])[1])
    ways = [rule for rule in only(found, "NetworkPolicy")["spec"]["egress"] if {"port": port, "protocol": "TCP"} in rule["ports"]]
    expect(ways, f"{where}: the NetworkPolicy does not let it out to port {port}")


def observed():
    """The objects for the Prometheus Operator."""
    return objects((DEPLOY / "observability" / "prometheus" / "podmonitor.yaml").read_text())


def check_documents():
    """What docs/KUBERNETES.md says to paste gives every proxy the reader's image, with the tools that it names and no others."""
    text = (DEPLOY.parent / "docs" / "KUBERNETES.md").read_text()
    expect("kustomize edit" not in text, "docs/KUBERNETES.md: kubectl has no `kustomize edit`")
    pipes = re.findall(r"^(kubectl kustomize \S+ \| sed \"[^\"]*\") \| kubectl apply -f -$", text, re.M)
    expect(len(pipes) >= 3, f"docs/KUBERNETES.md sets the image {len(pipes)} times")
    for pipe in pipes:
        built = subprocess.run(["bash", "-euo", "pipefail", "-c", pipe], cwd=DEPLOY.parent, capture_output=True, text=True, check=False,
                               env={**os.environ, "IMAGE": "registry.example/team/instantly-proxy:9"})
        expect(built.returncode == 0, f"{pipe}: {built.stderr}")
        images = re.findall(r"image: (\S*instantly-proxy\S*)", built.stdout)
        expect(images and set(images) == {"registry.example/team/instantly-proxy:9"}, f"{pipe}: the images are {images}")
    for one in re.findall(r"--set ([a-zA-Z.]+)=", text):
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        expect(table.at(values, one) is not None, f"docs/KUBERNETES.md: the chart has no value {one}")


def check_valkey(found, fleet):
    """The Valkey for trials: it is where the fleet looks, its user is that of the documents, and it starts with its own files."""
    where = "overlay valkey"
    shared = tomllib.loads(only(fleet, "ConfigMap")["data"]["instantly-proxy.toml"])["shared"]
    labels = only(found, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    service, policy = only(found, "Service"), only(found, "NetworkPolicy")["spec"]
    for selector in (service["spec"]["selector"], policy["podSelector"]["matchLabels"]):
        expect(selector.items() <= labels, f"{where}: {selector} selects none of these pods")
    port = service["spec"]["ports"][0]["port"]
    expect(shared["url"].startswith(f"redis://{service['metadata']['name']}:{port}/"), f"{where}: the fleet asks {shared['url']}")
    proxies = only(fleet, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    callers = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    expect(callers.items() <= proxies, f"{where}: {callers} are no proxies")
    ways = [rule["to"][0].get("podSelector", {}).get("matchLabels") for rule in only(fleet, "NetworkPolicy")["spec"]["egress"]]
    expect(any(way and way.items() <= labels for way in ways), f"{where}: the proxies are not let out to it")
    files = only(found, "ConfigMap")["data"]
    told = re.search(r"^user instantly-proxy on >PASSWORD (.*)$", (DEPLOY.parent / "docs" / "FLEET.md").read_text(), re.M)[1]
    told = told.replace("NAMESPACE", shared["namespace"])
    expect(f"user {shared['username']} on #PASSWORD_SHA256 {told}\n" in files["users.acl"], f"{where}: its user is not that of docs/FLEET.md")
    if shutil.which("valkey-server") is None:
        print("valkey-server is not installed: the Valkey for trials is not started")
        return
    with tempfile.TemporaryDirectory() as folder:
        acl = pathlib.Path(folder, "users.acl")
        acl.write_text(files["users.acl"].replace("PASSWORD_SHA256", hashlib.sha256(b"a password").hexdigest()))
        settings = pathlib.Path(folder, "valkey.conf")
        settings.write_text(files["valkey.conf"].replace("/run/valkey", folder))
        # Port 0 listens nowhere; who gets as far as its socket has read everything.
        started = subprocess.Popen(["valkey-server", settings, "--port", "0", "--unixsocket", f"{folder}/socket"],
                                   stdout=subprocess.PIPE, text=True)
        lines = []
        for line in started.stdout:
            lines.append(line)
            if "Ready to accept" in line or "ready to accept" in line:
                break
        running = started.poll() is None
        started.kill()
        started.wait()
        expect(running and "eady to accept" in lines[-1], f"{where}: the server does not start: {''.join(lines[-5:])}")


def check_sidecar(binary, where, found):
    """The sidecar: an init container that goes on, whose data port is on loopback, probed by its own command, scraped from outside."""
    text = only(found, "ConfigMap")["data"]["instantly-proxy.toml"]
    check_accepted(binary, where, text)
    config = tomllib.loads(text)
    workloads = [one for one in found if one["kind"] in ("Job", "Deployment")]
    expect({one["kind"] for one in workloads} == {"Job", "Deployment"}, f"{where}: a Job and a Deployment show it")
    for one in workloads:
        pod = one["spec"]["template"]["spec"]
        proxy = pod["initContainers"][0]
        expect(proxy.get("restartPolicy") == "Always", f"{where}: not a native sidecar")
        monitor = [one for one in observed() if one["metadata"]["name"] == "instantly-proxy-sidecars"][0]["spec"]
        labels = one["spec"]["template"]["metadata"]["labels"]
        expect(monitor["selector"]["matchLabels"].items() <= labels.items(), f"{where}: no PodMonitor selects {labels}")
        expect(monitor["podMetricsEndpoints"][0]["port"] in [port["name"] for port in proxy["ports"]], f"{where}: nothing to scrape")
        expect(config["listen"]["address"].startswith("127.0.0.1:"), f"{where}: the data port is open")
        check_pod(f"{where} {one['kind']}", pod, proxy, config)
        for probe in ("startupProbe", "livenessProbe"):
            command = proxy[probe]["exec"]["command"]
            expect(command[:2] == ["/instantly-proxy", "health"], f"{where}: {probe} runs {command}")
        url = f"http://{config['listen']['address']}"
        told = [entry.get("value") for entry in pod["containers"][0]["env"]]
        expect(url in told, f"{where}: the workload is not told {url}")
        if one["kind"] == "Deployment":
            surge = one["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
            pods = one["spec"]["replicas"] + surge
            replicas = config["shield"]["replicas"]
            expect(replicas >= pods, f"{where}: {pods} pods share a limit that is divided by {replicas}")


def comparable(found):
    """Objects without what differs by the way in which they are made."""
    stripped = []
    for one in copy.deepcopy(found):
        one["metadata"].pop("namespace", None)
        text = re.sub(r"instantly-proxy-[a-z0-9]{10}\b", "instantly-proxy", json.dumps(one))
        one = json.loads(text)
        for meta in (one["metadata"], one.get("spec", {}).get("template", {}).get("metadata", {})):
            for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                meta.get("labels", {}).pop(label, None)
            meta.get("annotations", {}).pop("checksum/config", None)
            if not meta.get("annotations"):
                meta.pop("annotations", None)
        # The account and the configuration of the overlay belong to no component.
        if one["kind"] in ("ServiceAccount", "ConfigMap"):
            one["metadata"].get("labels", {}).pop("app.kubernetes.io/component", None)
        for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            if container.get("imagePullPolicy") == "IfNotPresent":
                container.pop("imagePullPolicy")
        stripped.append(one)
    return sorted(stripped, key=lambda one: one["kind"])


def check_chart(binary, gateway, fleet):
    """The chart: linted, rendered, compared with the overlay, and strict about its values."""
    helm = render.Helm()
    told = helm.lint(CHART)
    bad = [message for message in told.get("Messages") or [] if message.get("Severity", 0) >= 2]
    expect(not bad and not told.get("Errors"), f"helm lint: {told}")
    rendered = objects(helm.render(CHART))
    validate("the chart", rendered)
    check_gateway(binary, "the chart", rendered)
    for own, its in zip(comparable(rendered), comparable(gateway), strict=True):
        expect(own == its, f"chart and overlay differ:\n{json.dumps(own, indent=1)}\n{json.dumps(its, indent=1)}")
    shared = {"shared": {"enabled": True, "url": "redis://valkey:6379/0", "allowPlaintext": True}}
    rendered = objects(helm.render(CHART, shared))
    validate("the chart with shared", rendered)
    check_gateway(binary, "the chart with shared", rendered)
    for own, its in zip(comparable(rendered), comparable(fleet), strict=True):
        expect(own == its, f"chart with shared and overlay differ:\n{json.dumps(own, indent=1)}\n{json.dumps(its, indent=1)}")
    counts = table.run(helm, CHART, expect, validate, lambda *told: check_accepted(binary, *told))
    print("the chart: %d sets of values rendered, %d refused" % counts)
    metrics = only(rendered, "HorizontalPodAutoscaler")["spec"]["metrics"]
    expect([metric["type"] for metric in metrics] == ["Resource"], f"the chart with shared: scaled by {metrics}")
    waits = "instantly_proxy_shield_queued"
    adapter = (DEPLOY / "observability" / "prometheus" / "adapter.yml").read_text()
    expect(f"'{waits}{{" in adapter, f"adapter.yml does not serve {waits}")
    written = (DEPLOY / "kustomize" / "overlays" / "fleet" / "horizontalpodautoscaler.yaml").read_text()
    expect(f"#       name: {waits}\n" in written, f"overlay fleet: the measure that may be added is not {waits}")


def check_compose(binary):
    """The stage of docker compose: its configuration, its keys and its token."""
    stage = DEPLOY / "compose"
    check_accepted(binary, "compose", (stage / "instantly-proxy.toml").read_text())
    load = yaml.safe_load((stage / "compose.yaml").read_text())["services"]["load"]
    simulated = subprocess.Popen([binary, "simulate", "--address", "127.0.0.1:0", "--seed", "1"],
                                 stdout=subprocess.PIPE, text=True)
    lines = []
    for line in simulated.stdout:
        lines.append(line)
        if "listens on" in line:
            break
    simulated.terminate()
    simulated.wait()
    words = " ".join(lines).split()
    label = re.search(r"[0-9a-f-]{36}", " ".join(load["command"]))[0]
    for known in [*load["environment"]["KEYS"].split(), label]:
        expect(known in words, f"compose: the simulator of seed 1 does not know {known[:12]}…")


def check_release(binary):
    """What is packed twice is the same; the bill of materials is valid CycloneDX; the image is what its digests say."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    with tempfile.TemporaryDirectory() as folder:
        sums = []
        for time in ("first", "second"):
            packed = subprocess.run([DEPLOY / "release", "--pack", binary, "x86_64-linux-musl"], capture_output=True, text=True,
                                    env={**os.environ, "DIST": f"{folder}/{time}"}, check=False)
            expect(packed.returncode == 0, f"deploy/release: {packed.stderr}")
            sums.append(pathlib.Path(folder, time, "SHA256SUMS").read_text())
        expect(sums[0] == sums[1], f"deploy/release packs otherwise the second time:\n{sums[0]}{sums[1]}")
        made = pathlib.Path(folder, "first")
        bill = next(made.glob("*.cdx.json")).read_text()
        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
        expect(fault is None, f"the bill of materials: {fault!r}")
        locked = {(one["name"], one["version"]) for one in tomllib.loads((DEPLOY.parent / "Cargo.lock").read_text())["package"]}
        billed = {(one["name"], one["version"]) for one in json.loads(bill)["components"]}
        expect(len(billed) > 100 and billed <= locked, f"the bill of materials has {billed - locked}, which are not locked")
        image = next(made.glob("*.oci.tar"))
        with tarfile.open(image) as tar:
            blobs = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}

        def blob(told):
            contents = blobs["blobs/" + told["digest"].replace(":", "/")]
            expect(f"sha256:{hashlib.sha256(contents).hexdigest()}" == told["digest"], f"the image: {told['digest']} is something else")
            expect(len(contents) == told["size"], f"the image: {told['digest']} is {len(contents)} bytes")
            return contents

        told = json.loads(blobs["index.json"])["manifests"][0]
        expect(pathlib.Path(f"{image}.digest").read_text().strip() == told["digest"], "the image: another digest is told")
        manifest = json.loads(blob(told))
        config = json.loads(blob(manifest["config"]))
        layer = gzip.decompress(blob(manifest["layers"][0]))
        expect(config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"], "the image: its layer is another one")
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            held = {one.name for one in tar if one.isfile()}
        expect(held == {"instantly-proxy", "etc/ssl/certs/ca-certificates.crt"}, f"the image holds {held}")
        written = (DEPLOY / "docker" / "Dockerfile").read_text()
        own = config["config"]
        expect(f"USER {own['User']}" in written and f"STOPSIGNAL {own['StopSignal']}" in written, "the image is not the Dockerfile's")


def check_image_context():
    """Cargo takes the manifest where nothing is but what .dockerignore lets in: it looks for each target that has no path."""
    root = DEPLOY.parent
    with tempfile.TemporaryDirectory() as folder:
        for line in (root / ".dockerignore").read_text().splitlines():
            if line.startswith("!"):
                pathlib.Path(folder, line[1:]).symlink_to(root / line[1:])
        # A target that there is not: nothing is compiled, and the manifest has been taken before that is said.
        asked = subprocess.run(["cargo", "check", "--offline", "--locked", "--quiet", "--bin", "none"], cwd=folder,
                               capture_output=True, text=True, check=False)
        expect("no bin target named `none`" in asked.stderr, f"the image's build: {asked.stderr}")


def main():
    """Checks all, and tells every fault."""
    binary = os.path.abspath(sys.argv[1])
    overlays = {name: overlay(name) for name in ("gateway", "sidecar", "fleet", "valkey")}
    for name, found in overlays.items():
        validate(f"overlay {name}", found)
    check_gateway(binary, "overlay gateway", overlays["gateway"])
    check_gateway(binary, "overlay fleet", overlays["fleet"])
    check_sidecar(binary, "overlay sidecar", overlays["sidecar"])
    check_valkey(overlays["valkey"], overlays["fleet"])
    check_chart(binary, overlays["gateway"], overlays["fleet"])
    check_compose(binary)
    check_image_context()
    check_documents()
    check_release(binary)
    validate("podmonitor.yaml", observed())
    for fault in faults:
        print(f"deploy/check: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"{sum(map(len, overlays.values()))} objects of {len(overlays)} overlays and the chart fit Kubernetes {', '.join(VERSIONS)}")


main()
