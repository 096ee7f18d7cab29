"""Every way that a request can go, with a secret in each place where a client may put one; all that comes back is kept."""

import asyncio
import json
import socket
import uuid

import vendor
from second import Second
from wire import Connection, Failed

LABELS = "/api/v2/lead-labels"
MIB = 1 << 20


class Walk:
    """What was heard goes into a file, for the search."""

    def __init__(self, port, heard):
        self.port, self.heard = port, heard
        self.statuses = set()

    def hear(self, data):
        """Keeps it."""
        self.heard.write(data if isinstance(data, bytes) else str(data).encode())
        self.heard.write(b"\n")

    async def ask(self, key, method, target, body=None, fields=(), port=None):
        """A call; its answer is kept whole, and so is how it failed."""
        connection = Connection(port or self.port, key)
        try:
            answer = await connection.call(method, target, body, fields, deadline=6)
            self.statuses.add(answer.status)
            self.hear(f"{answer.status} {answer.fields}")
            self.hear(answer.body)
        except Failed as failed:
            self.hear(failed)
        finally:
            connection.close()

    async def everything(self, key, secrets):
        """All ways for one key, which may be good or not."""
        label = vendor.label_id(vendor.organization_id(1), 1)
        item = f"{LABELS}/{label}"
        for target in (item, item, LABELS, f"{LABELS}?search=a", f"{LABELS}?limit=1", "/api/v2/campaigns", "/api/v2/cut"):
            await self.ask(key, "GET", target)
            await self.ask(key, "HEAD", target)
        # Behind a 429 the API is left alone for a while.
        for status in (400, 402, 403, 404, 500, 503, 401):
            await self.ask(key, "GET", f"/api/v2/status/{status}")
            await self.ask(key, "GET", f"{LABELS}/{status}00000-0000-4000-8000-000000000001")
        for method, target, body in (("PATCH", item, b'{"label":"x"}'), ("POST", LABELS, b'{"label":"y"}'), ("DELETE", f"{LABELS}/{uuid.uuid4()}", b"{}"),
                                     ("PATCH", item, b"no JSON"), ("POST", "/api/v2/leads", b"{}"), ("PATCH", item, b" " * (MIB + 1)),
                                     ("OPTIONS", item, None), ("TRACE", item, None), ("FROB", item, None)):
            await self.ask(key, method, target, body)
        await self.fields(key, item, secrets)
        await self.ask(key, "GET", "/api/v2/status/429")
        await self.ask(key, "GET", f"{LABELS}/42900000-0000-4000-8000-000000000001")
        await asyncio.gather(*(self.raw(request) for request in malformed(item, key)))

    async def fields(self, key, item, secrets):
        """Fields and queries with a secret of their own; and fields that send a request another way."""
        for name, value in (("Cache-Control", "no-cache"), ("Cache-Control", "only-if-cached"), ("Connection", "authorization"), ("Expect", "much"),
                            ("X-HTTP-Method-Override", "DELETE"), ("TE", "gzip"), ("Authorization", f"Bearer {key}"), ("Transfer-Encoding", "gzip"),
                            ("x-as-workspace", secrets["workspace"]), ("Cookie", f"session={secrets['cookie']}"), ("X-Api-Key", secrets["field"]),
                            ("traceparent", secrets["field"]), ("tracestate", f"a={secrets['field']}"), ("Proxy-Authorization", f"Basic {secrets['cookie']}"),
                            ("X-Forwarded-For", secrets["field"]), ("Idempotency-Key", secrets["field"])):
            for target in (item, "/api/v2/campaigns"):
                await self.ask(key, "GET", target, fields=[f"{name}: {value}"])
        await self.ask(key, "PATCH", item, b"{}", fields=[f"x-as-workspace: {secrets['workspace']}"])
        for target in (item, LABELS, "/api/v2/campaigns", f"{item}/"):
            await self.ask(key, "GET", f"{target}?api_key={secrets['query']}")
            await self.ask(key, "GET", f"{target}?access_token={key}")
        await self.ask(f"{key} x", "GET", item)
        await self.ask(f"\r\nAuthorization: Basic {secrets['basic']}".lstrip(), "GET", item)

    async def second(self, key):
        """The same over HTTP/2, whose field compression has a log of its own."""
        connection = Second(self.port, key)
        item = f"{LABELS}/{vendor.label_id(vendor.organization_id(1), 1)}"
        for method, target, body in (("GET", item, None), ("GET", item, None), ("PATCH", item, b'{"label":"z"}'), ("POST", "/api/v2/leads", b"{}"),
                                     ("GET", "/api/v2/status/500", None), ("TRACE", item, None)):
            try:
                self.hear((await connection.call(method, target, body, deadline=6)).body)
            except Failed as failed:
                self.hear(failed)
        connection.close()

    async def raw(self, request, port=None, wait=3):
        """Bytes that no client library sends, and what comes back until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            writer.write(request)
            writer.write_eof()
            self.hear(await asyncio.wait_for(reader.read(1 << 20), wait))
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()

    async def admin(self, port, token, key):
        """Everything at the admin port, with its token, with another one and with none."""
        question = json.dumps({"method": "GET", "path": LABELS, "headers": {"Authorization": f"Bearer {key}", "x-as-workspace": key}}).encode()
        questions = (question, b"{", question.replace(b"GET", key.encode()), json.dumps({"headers": key}).encode(), json.dumps({key: 1}).encode(),
                     json.dumps({"method": "GET", "path": LABELS, "headers": {"Authorization": [f"Bearer {key}", key, 1]}}).encode(),
                     json.dumps({"method": "GET", "path": f"{LABELS}?api_key={key}", "headers": {"Host": key}}).encode())
        for bearer in (token, key):
            for target in ("/", "/metrics", "/livez", "/readyz", "/api/status", "/api/callers", "/api/config", "/api/nowhere"):
                await self.ask(bearer, "GET", target, port=port)
            for body in questions:
                await self.ask(bearer, "POST", "/api/explain", body, port=port)
            for body in (b"{}", question, b"{"):
                await self.ask(bearer, "POST", "/api/purge", body, port=port)
        for request in malformed("/api/status", token):
            await self.raw(request, port)


def malformed(item, key):
    """Heads that are refused by somebody, each with the key in it."""
    bearer = f"Authorization: Bearer {key}"
    for head in (f"GET {item} HTTP/1.1\r\n{bearer}\r\n\r\n", f"GET {item} HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {key}\r\n\r\n",
                 f"GET {item} HTTP/1.1\r\nHost: a\r\n{bearer}\x01\r\n\r\n", f"GET {item} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n{bearer}\r\n\r\n",
                 f"Bearer {key}\r\n\r\n", f"{key} {item} HTTP/1.1\r\nHost: a\r\n\r\n", f"GET {item} HTTP/9.9\r\nHost: a\r\n{bearer}\r\n\r\n",
                 f"GET {item} HTTP/1.1\r\nHost: {key}\r\nHost: a\r\n{bearer}\r\n\r\n", f"GET {item} HTTP/1.1\r\nHost: a\r\n{bearer}",
                 f"PATCH {item} HTTP/1.1\r\nHost: a\r\n{bearer}\r\nContent-Length: 99\r\n\r\n{{", f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{key}{key}",
                 f"POST {item} HTTP/1.1\r\nHost: a\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                 f"GET {item} HTTP/1.1\r\nHost: a\r\n{bearer}\r\nX: {'y' * 40_000}\r\n\r\n", f"GET {item}?{'y' * 9000} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n\r\n",
                 f"GET {item} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key * 900}\r\n\r\n",
                 "GET /x HTTP/1.1\r\nHost: a\r\n" + f"{bearer}\r\n" * 120 + "\r\n",
                 # The id that a client gives its request is told, for that is its purpose; this one is none.
                 f"GET {item} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {key} \x1b[31m\r\n{bearer}\r\n\r\n"):
        yield head.encode("latin-1")


def monitor(port, password, sink, ended):
    """Every command that the store is sent, as it says itself, into a file until told to end."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection, open(sink, "wb") as file:
        connection.sendall(b"".join(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                                    for words in ((b"AUTH", password.encode()), (b"MONITOR",))))
        connection.settimeout(0.1)
        while not ended.is_set():
            try:
                file.write(connection.recv(1 << 20))
            except TimeoutError:
                pass
