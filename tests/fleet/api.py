"""An API that keeps the truth: organizations, their keys, one label each, and when each call arrived."""

import asyncio
import json
import time
import uuid

PAGE = "/api/v2/lead-labels"


def organization(number):
    return str(uuid.UUID(int=(0xA11CE << 100) | (4 << 76) | (8 << 60) | number))


def label(number):
    return str(uuid.UUID(int=(0x1ABE1 << 100) | (4 << 76) | (8 << 60) | number))


def token(number, key=0):
    return f"org{number:05d}key{key:03d}"


class Api:
    """Any token of the form of `token` is a key of its organization; every organization has labels under the same ids."""

    def __init__(self, latency=0.0):
        self.latency = latency
        self.texts = {}
        self.arrivals = []
        self.calls = 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                method, target, _ = lines[0].split(" ", 2)
                fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:] if ":" in line)}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                now = time.monotonic()
                self.calls += 1
                number = int(fields["authorization"].split("org", 1)[1][:5])
                self.arrivals.append((now, number, method, target))
                status, answer = self.answer(number, method, target, body)
                if self.latency:
                    await asyncio.sleep(self.latency)
                payload = json.dumps(answer).encode()
                writer.write(
                    f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n".encode()
                    + payload
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def item(self, number, which):
        return {
            "id": which,
            "timestamp_created": "2026-01-01T00:00:00.000Z",
            "label": self.texts.get((number, which), f"first of {number}"),
            "interest_status_label": "neutral",
            "interest_status": 1,
            "created_by": organization(number),
            "organization_id": organization(number),
        }

    def answer(self, number, method, target, body):
        path = target.split("?", 1)[0]
        if path == PAGE and method == "GET":
            return 200, {"items": [self.item(number, label(n)) for n in range(1, 4)]}
        if path.startswith(PAGE + "/"):
            which = path[len(PAGE) + 1 :]
            if method == "PATCH":
                self.texts[number, which] = json.loads(body)["label"]
            return 200, self.item(number, which)
        return 200, {"campaign": number}
