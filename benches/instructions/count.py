"""Asks for one label again and again on one connection, and has callgrind count what each kind of answer takes.

Usage: count.py PORT REQUESTS FOLDER PID; called by `run`. Prints a line for each kind: its name and instructions per answer.
"""

import glob
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys

PATH = "/api/v2/lead-labels/01935c4b-0000-7abc-9def-000000000001"
FIELDS = (
    "Host: api.instantly.ai",
    "Authorization: Bearer VG9rZW4tbnVtYmVyLTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw00==",
    "Accept: application/json",
    "User-Agent: service/1.0",
    "Accept-Encoding: identity",
)
if "MORE_FIELD" in os.environ:
    FIELDS += (os.environ["MORE_FIELD"],)
SIXTH = "X-Request-Id: 0123456789abcdef"
# A name that nothing in the proxy knows: no way for requests of a known form takes it.
UNKNOWN = "X-Unknown: 0123456789abcdef"


class Connection:
    """One kept-alive HTTP/1.1 connection; of mutual TLS, where the folder has a client's certificate."""

    def __init__(self, port, folder):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        certificate, key = (os.path.join(folder, name) for name in ("client.pem", "client.key"))
        if os.path.exists(certificate):
            context = ssl.create_default_context(cafile=os.path.join(folder, "root.pem"))
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def ask(self, path, *fields):
        """Gives the status and the fields of the answer; its body is read and forgotten."""
        lines = [f"GET {path} HTTP/1.1", *FIELDS, *fields, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.some()
        head, _, body = received.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
        status = int(head.split(b" ", 2)[1])
        length = 0 if status == 304 else int(fields["content-length"])
        while len(body) < length:
            body += self.some()
        return status, fields

    def some(self):
        received = self.socket.recv(65536)
        if not received:
            raise SystemExit("the connection was closed")
        return received


def control(option, process):
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["callgrind_control", option, process], check=True, **silent)


def instructions(folder, kind):
    """Takes what has been written by callgrind away and gives its sum; what of it is to be kept is kept."""
    total = 0
    kept = os.environ.get("PROFILES")
    for path in glob.glob(os.path.join(folder, "out*")):
        with open(path, encoding="utf-8") as dump:
            found = re.findall(r"^(?:summary|totals): (\d+)", dump.read(), re.MULTILINE)
        total += int(found[-1]) if found else 0
        if kept:
            shutil.copy(path, os.path.join(kept, f"{kind}.{os.path.basename(path)}"))
        os.replace(path, os.path.join(folder, "last"))
    return total


def main():
    port, count, folder, process = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    connection = Connection(port, folder)
    tag = connection.ask(PATH, SIXTH)[1]["etag"]
    kinds = (
        ("hit", PATH, 200, "hit", [SIXTH]),
        ("long-way-hit", PATH, 200, "hit", [SIXTH, UNKNOWN]),
        ("304", PATH, 304, "hit", [SIXTH, f"If-None-Match: {tag}"]),
        ("pass-through", "/api/v2/campaigns", 200, "fwd=bypass", [SIXTH]),
    )
    for name, path, status, told, fields in kinds:
        for _ in range(200):
            connection.ask(path, *fields)
        control("--zero", process)
        for _ in range(count):
            answered, found = connection.ask(path, *fields)
            if answered != status or told not in found["cache-status"]:
                raise SystemExit(f"{name}: {answered} with {found}")
        control("--dump", process)
        print(name, instructions(folder, name) // count, flush=True)


main()
