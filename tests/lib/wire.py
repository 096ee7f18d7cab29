"""A client of HTTP/1.1 that hides nothing: one connection, one call at a time, errors told by their kind."""

import asyncio
import re


class Failed(Exception):
    """A call that ended without an answer; its text is the kind."""


class Answer:
    """Status, fields and the whole body."""

    def __init__(self, head):
        first, *rest = head[:-4].decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in rest]
        self.body = b""

    def field(self, name, otherwise=""):
        """The first value of a field."""
        return next((value for key, value in self.fields if key.lower() == name), otherwise)

    def kind(self):
        """What to call this answer where none of the kind was expected: the status and the proxy's word for the cause."""
        cause = re.search(r"error=([a-z_0-9]+)", self.field("proxy-status"))
        return f"{self.status} {cause[1]}" if cause else str(self.status)


class Connection:
    """Opens when it is first used, and again when the other side has closed it between two calls and said so."""

    def __init__(self, port, key, source=None):
        self.port, self.key, self.source = port, key, source
        self.reader = self.writer = None

    async def call(self, method, target, body=None, fields=(), deadline=20):
        """Sends a call and reads its answer whole."""
        try:
            return await asyncio.wait_for(self.exchange(method, target, body, fields), deadline)
        except TimeoutError:
            self.close()
            raise Failed("no answer in time") from None
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Failed("cut off" if isinstance(error, asyncio.IncompleteReadError) else "reset") from None

    async def exchange(self, method, target, body, fields):
        """The call itself."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=1 << 17, local_addr=self.source and (self.source, 0)
            )
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {self.key}", *fields]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        answer = Answer(await self.reader.readuntil(b"\r\n\r\n"))
        while answer.status < 200:
            answer = Answer(await self.reader.readuntil(b"\r\n\r\n"))
        if "chunked" in answer.field("transfer-encoding"):
            parts = []
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                parts.append((await self.reader.readexactly(size + 2))[:-2])
            await self.reader.readline()
            answer.body = b"".join(parts)
        elif method != "HEAD" and answer.status not in (204, 304):
            answer.body = await self.reader.readexactly(int(answer.field("content-length", "0")))
        if answer.field("connection").lower() == "close":
            self.close()
        return answer

    def close(self):
        """Lets the connection go."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
