"""A keep-alive HTTP/1.1 client that does little, so that it measures the proxy and not itself."""

import asyncio
import json


class Client:
    """Requests to one port, each on a connection of its own that is kept for the next."""

    def __init__(self, port):
        self.port = port
        self.idle = []
        self.under_way = 0

    async def call(self, token, method, target, body=None):
        """Status, fields and body of the answer."""
        self.under_way += 1
        try:
            return await self.exchange(token, method, target, body)
        finally:
            self.under_way -= 1

    async def exchange(self, token, method, target, body):
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {target} HTTP/1.1\r\nhost: proxy\r\nauthorization: Bearer {token}\r\n"
        if body is not None:
            head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
        request = (head + "\r\n").encode() + payload
        for fresh in (False, True):
            reused = bool(self.idle) and not fresh
            reader, writer = self.idle.pop() if reused else await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(request)
                answer = await self.answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                if reused:
                    # It was closed while it was idle: nothing was answered on it.
                    continue
                raise
            if answer[1].get("connection") == "close":
                writer.close()
            else:
                self.idle.append((reader, writer))
            return answer
        raise ConnectionError("no connection")

    @staticmethod
    async def answer(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if ":" in line)}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        return int(head[0].split(" ")[1]), fields, body

    def close(self):
        for _, writer in self.idle:
            writer.close()
        self.idle = []


async def whole(client, token, method, target, body=None):
    """The answer's JSON, which must be a 200."""
    status, _, answer = await client.call(token, method, target, body)
    assert status == 200, (status, answer)
    return json.loads(answer)
