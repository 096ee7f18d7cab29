"""A caller in HTTP/2: one connection, one call at a time, and no more of the protocol than that needs."""

import asyncio
import struct

from wire import Failed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# The indexed field `:status: 200`. Any other status is somebody else's concern: it is told as "not 200".
STATUS_200 = 0x88
TABLE_SIZE = 0x20
WINDOW = 1 << 30


class Answer:
    """Whether it is a 200, and its body."""

    def __init__(self):
        self.status, self.body = 0, b""

    def kind(self):
        """As of the caller in HTTP/1.1, which knows more."""
        return str(self.status) if self.status == 200 else "not 200 over HTTP/2"


def frame(kind, flags, stream, payload):
    """A frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value):
    """A length with a prefix of seven bits, as HPACK writes it."""
    if value < 127:
        return bytes([value])
    out, value = [127], value - 127
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def block(fields):
    """Fields as literals without an index: they need no table."""
    text = ((name.encode(), value.encode()) for name, value in fields)
    return b"".join(b"\0" + integer(len(name)) + name + integer(len(value)) + value for name, value in text)


class Second:
    """Opens when it is first used, and again when it was closed."""

    def __init__(self, port, key):
        self.port, self.key = port, key
        self.reader = self.writer = None
        self.stream = 1

    async def call(self, method, target, body=None, fields=(), deadline=20):
        """Sends a call and reads its answer whole."""
        del fields
        try:
            return await asyncio.wait_for(self.exchange(method, target, body), deadline)
        except TimeoutError:
            self.close()
            raise Failed("no answer in time") from None
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            raise Failed("cut off over HTTP/2") from None

    async def exchange(self, method, target, body):
        """The call itself."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW))
            settings = struct.pack(">HIHI", 4, WINDOW, 1, 0)
            self.writer.write(PREFACE + frame(SETTINGS, 0, 0, settings) + window)
            self.stream = 1
        number, self.stream = self.stream, self.stream + 2
        self.writer.write(self.request(number, method, target, body))
        answer = Answer()
        while await self.take(number, answer):
            pass
        return answer

    def request(self, number, method, target, body):
        """Its frames; a body has to fit into the first window."""
        fields = [(":method", method), (":scheme", "http"), (":path", target), (":authority", f"127.0.0.1:{self.port}"),
                  ("authorization", f"Bearer {self.key}")]
        if body is None:
            return frame(HEADERS, END_HEADERS | END_STREAM, number, block(fields))
        fields += [("content-type", "application/json"), ("content-length", str(len(body)))]
        pieces = [body[at : at + 16384] for at in range(0, len(body), 16384)] or [b""]
        data = b"".join(frame(DATA, END_STREAM if at == len(pieces) - 1 else 0, number, piece) for at, piece in enumerate(pieces))
        return frame(HEADERS, END_HEADERS, number, block(fields)) + data

    async def take(self, number, answer):
        """One frame; whether the answer goes on."""
        head = await self.reader.readexactly(9)
        kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        if kind in (SETTINGS, PING) and not flags & ACK:
            self.writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind == GOAWAY and int.from_bytes(payload[:4], "big") < number or kind == RST_STREAM and stream == number:
            raise ConnectionResetError
        if stream != number or kind not in (DATA, HEADERS):
            return True
        if kind == HEADERS and not answer.status:
            answer.status = 200 if payload.lstrip(bytes([TABLE_SIZE]))[:1] == bytes([STATUS_200]) else 1
        elif kind == DATA:
            answer.body += payload
        return not flags & END_STREAM

    def close(self):
        """Lets the connection go."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
