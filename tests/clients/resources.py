#!/usr/bin/env python3
"""Custom tags, lead lists, the workspace and campaigns, as published clients read them and as services use them.

    resources.py BINARY [TOOLS]      TOOLS as tests/clients/run makes it; without it the SDK and axios are left out

First each client reads every path directly and twice through the proxy: the bytes must be the same, and the second read a hit.
Then three patterns of services run against the simulated API, each call of which takes 120 ms: find-or-create of 1,000 leads by
five workers over 30 tags, dropdowns, and a check of the workspace for each page. What the proxy asked upstream is told, and
held against its bar.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lib"))

import children  # noqa: E402

RESOURCES = ("CUSTOM_TAGS", "LEAD_LISTS", "WORKSPACES", "CAMPAIGNS")
TAGS, WORKSPACE = "/api/v2/custom-tags", "/api/v2/workspaces/current"
COLLECTIONS = (TAGS, "/api/v2/lead-lists", "/api/v2/campaigns")
LATENCY, WORKERS, LEADS, NAMES = "120ms", 5, 1000, 30
READS = ("fill", "proof", "refresh", "list_fill")
# A busy machine takes the seconds for which campaigns and lead lists are kept to start one client.
KEPT = {f"INSTANTLY_PROXY_CACHE__{name}__{ttl}": "10m" for name in ("LEAD_LISTS", "CAMPAIGNS") for ttl in ("TTL", "LIST_TTL")}


class Api:
    """The simulated API and a proxy in front of it."""

    def __init__(self, stack, binary, *options, settings=()):
        simulator = stack.enter_context(children.child([binary, "simulate", "--address", "127.0.0.1:0", *options]))
        self.direct, self.key = "", ""
        deadline = time.monotonic() + children.START_SECONDS
        while not (self.direct and self.key) and time.monotonic() < deadline:
            line = simulator.stdout.readline().decode()
            if found := re.search(r"listens on (?:http://)?(127\.0\.0\.1:\d+)", line):
                self.direct = found[1]
            if not self.key and (found := re.search(r"key \d+ +(\S+) all:all", line)):
                self.key = found[1]
        env = os.environ | {f"INSTANTLY_PROXY_CACHE__{name}__ENABLED": "true" for name in RESOURCES}
        env |= {"INSTANTLY_PROXY_UPSTREAM__URL": f"http://{self.direct}", "INSTANTLY_PROXY_LOG__FORMAT": "json",
                "INSTANTLY_PROXY_LISTEN__ADDRESS": "127.0.0.1:0", "INSTANTLY_PROXY_ADMIN__ADDRESS": "127.0.0.1:0"}
        proxy = stack.enter_context(children.child([binary], env=env | dict(settings)))
        ready = json.loads(children.line_that(proxy, r'(\{.*"message":"ready".*\})')[1])
        self.proxied, self.admin = ready["data"], ready["admin"]
        # A full pipe would hold them up.
        for process in (simulator, proxy):
            threading.Thread(target=process.stdout.read, daemon=True).start()

    def reads(self):
        """Reads that the proxy has sent upstream."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        upstream = (line for line in lines if line.startswith("instantly_proxy_upstream_requests_total{"))
        return int(sum(float(line.split()[-1]) for line in upstream if any(f'purpose="{read}"' in line for read in READS)))


class Client:
    """One kept-alive connection with a key."""

    def __init__(self, address, key):
        self.connection, self.key = http.client.HTTPConnection(address, timeout=60), key

    def call(self, method, target, body=None):
        """Status, `Cache-Status` and body."""
        fields = {"Authorization": f"Bearer {self.key}"} | ({"Content-Type": "application/json"} if body else {})
        self.connection.request(method, target, json.dumps(body) if body else None, fields)
        answer = self.connection.getresponse()
        return answer.status, answer.getheader("Cache-Status", ""), answer.read()


def same_bytes(binary, tools):
    """Every client, on every path."""
    with contextlib.ExitStack() as stack:
        api = Api(stack, binary, settings=KEPT)
        direct, proxied = Client(api.direct, api.key), Client(api.proxied, api.key)
        targets = [WORKSPACE]
        for collection in COLLECTIONS:
            item = json.loads(direct.call("GET", collection)[2])["items"][0]["id"]
            targets += [collection, f"{collection}?limit=100", f"{collection}/{item}"]
        for target in targets:
            expected = direct.call("GET", target)
            first, second = proxied.call("GET", target), proxied.call("GET", target)
            assert expected[0] == 200 and expected[::2] == first[::2] == second[::2], (target, expected, first, second)
            assert second[1].startswith("instantly-proxy; hit"), (target, second[1])
        print(f"http.client: {len(targets)} paths, the same bytes as direct, second read a hit")
        if tools:
            sdk(api, tools)
            cli(api, tools, direct)
            axios(api, tools, targets)


def sdk(api, tools):
    """`instantlyai` validates every answer with its own models."""
    def told(address):
        env = os.environ | {"INSTANTLY_BASE_URL": f"http://{address}", "INSTANTLY_API_KEY": api.key}
        return subprocess.run([str(tools / "python/bin/python"), str(HERE / "resources_client.py")], env=env, check=True,
                              stdout=subprocess.PIPE, timeout=60).stdout

    expected, before = told(api.direct), None
    for _ in range(2):
        before = api.reads()
        assert told(api.proxied) == expected
    # Proofs are of a minute.
    assert api.reads() - before <= 2, f"{api.reads() - before} reads the second time"
    print("instantlyai: the same models as direct, second time from memory")


def cli(api, tools, direct):
    """`instantly-cli`, whose base URL is fixed: each command prints what it got."""
    program = tools / "node/node_modules/instantly-cli/dist/index.js"
    first = {collection: json.loads(direct.call("GET", collection)[2])["items"][0]["id"] for collection in COLLECTIONS[:2]}
    commands = [("workspace", "get")]
    for words, item in zip(("custom-tags", "lead-lists"), first.values()):
        commands += [(words, "list"), (words, "get", item)]

    def told(address, command):
        env = os.environ | {"INSTANTLY_BASE_URL": f"http://{address}", "INSTANTLY_API_KEY": api.key, "HOME": str(tools.resolve())}
        return subprocess.run(["node", "--import", str((HERE / "redirect.mjs").resolve()), str(program), *command], env=env, check=True,
                              stdout=subprocess.PIPE, timeout=60).stdout

    for command in commands:
        expected = told(api.direct, command)
        assert expected.strip().startswith(b"{") and told(api.proxied, command) == expected, command
        before = api.reads()
        assert told(api.proxied, command) == expected, command
        assert api.reads() - before <= 1, f"{command}: {api.reads() - before} reads the second time"
    print(f"instantly-cli: {len(commands)} commands print the same as direct, second time from memory")


def axios(api, tools, targets):
    """axios, with the JSON type and the `null` that it sends along."""
    script = """
import { createRequire } from 'node:module';
const axios = createRequire(process.argv[2] + '/node/')('axios');
const [, , , base, key, ...targets] = process.argv;
const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
for (const url of targets) {
    const read = () => axios({ method: 'get', url, baseURL: base, headers, data: null, responseType: 'text', transformResponse: (x) => x });
    const first = await read(), second = await read();
    console.log(JSON.stringify([url, first.data, second.data, second.headers['cache-status'] ?? '']));
}
"""
    path = tools / "resources.mjs"
    path.write_text(script)

    def told(address):
        command = ["node", str(path), str(tools.resolve()), f"http://{address}", api.key, *targets]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout.splitlines()
        return [json.loads(line) for line in lines]

    for direct, proxied in zip(told(api.direct), told(api.proxied), strict=True):
        assert direct[:3] == proxied[:3] and proxied[3].startswith("instantly-proxy; hit"), (direct, proxied)
    print(f"axios: {len(targets)} paths, the same bytes as direct, second read a hit")


def find_or_create(binary):
    """Leads by several workers: the list is read for each, and a missing tag is created."""
    with contextlib.ExitStack() as stack:
        api = Api(stack, binary, "--latency", LATENCY)
        names = [f"tag {number}" for number in range(NAMES)]
        conflicts, created = [], []

        def named(client):
            status, _, body = client.call("GET", f"{TAGS}?limit=100")
            assert status == 200, body
            return {tag["label"]: tag["id"] for tag in json.loads(body)["items"]}

        def work(number):
            client, rng = Client(api.proxied, api.key), random.Random(number)
            for _ in range(LEADS // WORKERS):
                name = rng.choice(names)
                if name in named(client):
                    continue
                status, _, body = client.call("POST", TAGS, {"label": name})
                assert status in (200, 409), body
                if status == 409:
                    conflicts.append(json.loads(body)["message"])
                else:
                    created.append(name)
                # One's own write, or that of whoever was first, is in the very next list.
                assert name in named(client), f"{name} is missing behind a {status}"

        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        seconds, reads = time.monotonic() - began, api.reads()
        bar = 2 * len(created) + int(seconds)
        assert len(created) == len(set(created)) == NAMES and set(conflicts) <= {"A tag with this name already exists."}
        print(f"find-or-create: {LEADS} leads, {WORKERS} workers, {NAMES} tags, {LATENCY}: {reads} reads upstream (bar {bar}), "
              f"{len(conflicts)} conflicts, {seconds:.1f} s; each lead by itself: {LEADS + 2 * NAMES} reads")
        assert reads <= bar, f"{reads} reads upstream, {bar} allowed"


def patterns(binary):
    """Dropdowns and checks: the same few reads again and again."""
    with contextlib.ExitStack() as stack:
        api = Api(stack, binary, "--latency", LATENCY)
        client = Client(api.proxied, api.key)
        for name, targets, times in (
            ("dropdown of campaigns and lead lists, 20 pages", [f"{path}?limit=100" for path in COLLECTIONS[1:]], 20),
            ("check of the workspace for each of 200 pages", [WORKSPACE], 200),
        ):
            before, began = api.reads(), time.monotonic()
            for _ in range(times):
                for target in targets:
                    assert client.call("GET", target)[0] == 200
            seconds = time.monotonic() - began
            print(f"{name}: {api.reads() - before} reads upstream in place of {times * len(targets)}, {seconds:.1f} s")


def main():
    """All of it."""
    binary, tools = sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None
    same_bytes(binary, tools)
    find_or_create(binary)
    patterns(binary)


main()
