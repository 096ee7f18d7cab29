#!/usr/bin/env python3
"""A tiny vendor for the harnesses: labels of any organization, writes counted by their id, and what a server was sent.

    vendor.py [DELAY]      prints `listens on 127.0.0.1:PORT`, and stops when its standard input ends; each answer takes up
                           to DELAY seconds

A key is `o7k2` and whatever follows: organization 7, key 2. `big…` belongs to an organization whose list is 4 MB long,
`limited…` gets a 429, every other key a 401. Every UUID names a label in every organization, so that a body tells whose
it is. A write carries an id: in `label` (POST), `description` (PATCH), `reassigned_status` (DELETE) or `marker` (other
paths); /__stats tells how often each was processed. Whatever stands in front may say in `x-front` on which connection and
in which version a call came. Other paths: `/api/v2/download/BYTES`, and `/api/v2/mirror/…`, which answers with what arrived.

It reads every body to its end before it answers, never closes a connection first, and writes a head and its body at once.
"""

import asyncio
import collections
import gzip
import hashlib
import json
import random
import re
import sys
import uuid

WORLD = uuid.UUID("5b0d3a1e-0000-4000-8000-000000000000")
LABELS = re.compile(rb"^/api/v2/lead-labels(?:/([0-9a-fA-F-]{36}))?(?:\?.*)?$")
KEY = re.compile(r"^Bearer (?:o(\d+)k\d+|(big|limited|grants))")
PHRASES = {200: "OK", 201: "Created", 204: "No Content", 301: "Moved Permanently", 304: "Not Modified", 400: "Bad Request",
           401: "Unauthorized", 404: "Not Found", 418: "I'm a teapot", 429: "Too Many Requests", 500: "Internal Server Error"}
LIST_LENGTH = 10
BIG_ITEMS, BIG_DESCRIPTION = 99, 40_000


def organization_id(name):
    """The UUID of organization `name`, a number or `big`."""
    return str(uuid.uuid5(WORLD, f"organization {name}"))


def label_id(organization, number):
    """The UUID of one of the labels in that organization's list."""
    return str(uuid.uuid5(uuid.UUID(organization), str(number)))


class Vendor:
    """What it holds, and what it has counted."""

    def __init__(self, delay):
        self.changes = {}
        self.deleted = set()
        self.markers = collections.Counter()
        self.calls = collections.Counter()
        self.fronts = collections.Counter()
        self.connections = 0
        self.big = None
        self.delay = delay

    def label(self, organization, identifier):
        """A label's fields, as they are now."""
        fields = {
            "id": identifier,
            "timestamp_created": "2026-01-01T00:00:00.000Z",
            "created_by": str(uuid.uuid5(WORLD, organization)),
            "organization_id": organization,
            "label": f"label {identifier[:8]}",
            "interest_status_label": "neutral",
            "interest_status": 7,
            "description": "",
            "use_with_ai": False,
        }
        fields.update(self.changes.get((organization, identifier), {}))
        return fields

    def answer(self, call):
        """Status, fields and body for a call that has been read to its end."""
        if call.target == b"/__stats":
            return 200, [], json.dumps(self.stats()).encode()
        found = KEY.match(call.field("authorization", ""))
        front = call.field("x-front", "")
        match = LABELS.match(call.target)
        kind = "label" if match else "other"
        self.calls[f"{kind} {front.rpartition(' ')[2] or 'direct'}"] += 1
        if front:
            self.fronts[front] += 1
        if call.target.startswith(b"/api/v2/mirror/"):
            return mirror(call)
        if not found:
            return problem(401, "Invalid authorization header or API key")
        if found[2] == "limited":
            return problem(429, "Rate limit exceeded", [("retry-after", "100")])
        organization = organization_id(found[1] or found[2])
        if match:
            return self.labels(call, organization, match[1] and match[1].decode().lower(), found[2])
        if call.target.startswith(b"/api/v2/download/"):
            return 200, [("content-type", "application/octet-stream")], b"d" * int(call.target.rpartition(b"/")[2])
        return self.other(call, organization)

    def labels(self, call, organization, identifier, special):
        """Reads and writes of labels."""
        method, fields = call.method, {}
        if call.body:
            try:
                fields = json.loads(call.body)
            except ValueError:
                return problem(400, "body must be object")
        if method in ("GET", "HEAD") and identifier is None:
            return 200, [], self.big_list(organization) if special == "big" else self.list(organization)
        if method == "POST" and identifier is None:
            marker = fields.get("label")
            identifier = str(uuid.uuid5(uuid.UUID(organization), f"created {marker}"))
        elif identifier is None:
            return problem(404, "Resource not found")
        elif method == "PATCH":
            marker = fields.get("description")
        elif method == "DELETE":
            marker = fields.get("reassigned_status")
        else:
            marker = None
        if marker is not None:
            self.markers[str(marker)] += 1
        if (organization, identifier) in self.deleted:
            return problem(404, "Resource not found")
        if method == "DELETE":
            self.deleted.add((organization, identifier))
        elif method in ("POST", "PATCH"):
            self.changes.setdefault((organization, identifier), {}).update(
                {key: value for key, value in fields.items() if key in ("label", "description", "interest_status_label")}
            )
        elif method not in ("GET", "HEAD"):
            return problem(404, f"Route {method} not found")
        return 200, [], json.dumps(self.label(organization, identifier)).encode()

    def list(self, organization):
        """A page, one label after the other."""
        identifiers = [label_id(organization, number) for number in range(LIST_LENGTH)]
        items = [self.label(organization, one) for one in identifiers if (organization, one) not in self.deleted]
        return json.dumps({"items": items}).encode()

    def big_list(self, organization):
        """A page that is as long as a page may be, or nearly."""
        if self.big is None:
            items = [self.label(organization, label_id(organization, number)) for number in range(BIG_ITEMS)]
            self.big = json.dumps({"items": [item | {"description": "x" * BIG_DESCRIPTION} for item in items]}).encode()
        return self.big

    def other(self, call, organization):
        """What the proxy passes through: counted, and answered with a digest of what came."""
        try:
            marker = json.loads(call.body).get("marker") if call.body else None
        except (ValueError, AttributeError):
            marker = None
        if marker is not None:
            self.markers[str(marker)] += 1
        told = {"organization_id": organization, "length": len(call.body), "sha256": hashlib.sha256(call.body).hexdigest()}
        return 200, [], json.dumps(told | {"marker": marker}).encode()

    def stats(self):
        """Everything that has been counted."""
        return {"markers": self.markers, "calls": self.calls, "fronts": self.fronts, "connections": self.connections}


def problem(status, message, fields=()):
    """An error in the vendor's own shape."""
    body = {"statusCode": status, "error": PHRASES[status], "message": message}
    return status, list(fields), json.dumps(body).encode()


# And the id of a request, which is the proxy's to give.
HOP_BY_HOP = {"host", "x-request-id", "x-front", "via", "connection", "keep-alive", "te", "transfer-encoding",
              "content-length", "upgrade", "expect"}


def mirror(call):
    """What arrived, word for word, but for what belongs to one connection only. `status=` and `shape=` choose the answer."""
    # Its own address is a free port, and another one each time.
    own = re.sub(r"127\.0\.0\.1:\d+", "own", call.field("host", ""))
    told = {
        "method": call.method,
        "host": own,
        "target": call.target.decode("latin-1"),
        "framing": call.framing,
        "fields": sorted(
            ([name, value] for name, value in call.fields if name not in HOP_BY_HOP), key=lambda field: field[0]
        ),
        "length": len(call.body),
        "sha256": hashlib.sha256(call.body).hexdigest(),
    }
    status = int((re.search(rb"[?&]status=(\d+)", call.target) or [0, b"200"])[1])
    fields = [("x-odd", "a  b\t;,=\"q\""), ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2"), ("link", "<x>; rel=y")]
    if status == 301:
        fields.append(("location", "/api/v2/mirror/elsewhere?x=1#y"))
    body = b"" if status in (204, 304) else json.dumps(told, indent=1).encode()
    if b"shape=gzip" in call.target:
        body = gzip.compress(body, mtime=0)
        fields.append(("content-encoding", "gzip"))
    return status, fields, body


class Call:
    """A request, read to its end."""

    def __init__(self, head):
        first, *rest = head[:-4].split(b"\r\n")
        method, self.target, _ = first.split(b" ", 2)
        self.method = method.decode("latin-1")
        split = (line.partition(b":") for line in rest)
        self.fields = [(name.decode("latin-1").lower(), value.strip().decode("latin-1")) for name, _, value in split]
        self.body = b""
        self.framing = "none"

    def field(self, name, otherwise=None):
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), otherwise)

    async def read_body(self, reader):
        """By chunks or by length, as the head says."""
        if "chunked" in self.field("transfer-encoding", ""):
            self.framing, parts = "chunked", []
            while size := int((await reader.readline()).split(b";")[0], 16):
                parts.append((await reader.readexactly(size + 2))[:-2])
            while (await reader.readline()).strip():
                pass
            self.body = b"".join(parts)
        elif (length := self.field("content-length")) is not None:
            self.framing = f"length {length}"
            self.body = await reader.readexactly(int(length))


async def serve_connection(vendor, reader, writer):
    """Calls of one connection, one after the other, until the other side is done."""
    vendor.connections += 1
    try:
        while True:
            call = Call(await reader.readuntil(b"\r\n\r\n"))
            if call.field("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await call.read_body(reader)
            status, fields, body = vendor.answer(call)
            # Processed, and counted; the answer takes its time, so that calls are under way whenever a connection ends.
            if vendor.delay:
                await asyncio.sleep(random.random() * vendor.delay)
            if not any(name == "content-type" for name, _ in fields):
                fields = [("content-type", "application/json; charset=utf-8"), *fields]
            if b"shape=chunked" in call.target:
                fields.append(("transfer-encoding", "chunked"))
                halves = (body[: len(body) // 2], body[len(body) // 2 :])
                body = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves if half) + b"0\r\n\r\n"
            elif status not in (204, 304):
                fields.append(("content-length", str(len(body))))
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            head = f"HTTP/1.1 {status} {PHRASES.get(status, 'Status')}\r\n{lines}\r\n"
            writer.write(head.encode("latin-1") + (b"" if call.method == "HEAD" else body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def main():
    """Serves until standard input ends, so that it never outlives who started it."""
    vendor = Vendor(float(sys.argv[1]) if sys.argv[1:] else 0)
    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(vendor, reader, writer), "127.0.0.1", 0, limit=1 << 17, backlog=1024
    )
    print("listens on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
