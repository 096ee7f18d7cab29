"""Four unlike parsers of HTTP/1.1, each of which says what it reads in a stream: h11, llhttp (Node), nginx, HAProxy."""

import asyncio
import contextlib
import subprocess
from pathlib import Path

import h11

from children import child, free_port, line_that, wait_for
from reading import meaning, origin_form

HERE = Path(__file__).parent
# Behind the last request of a stream: whoever has read all before it answers it and closes.
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LAST_READ = meaning(b"GET", b"/last", b"")
SECONDS = 10


async def read_by_h11(sent):
    """The meanings of the requests, as h11 reads them."""
    connection, found, body, first = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), [], [], None
    connection.receive_data(sent)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            return [*found, f"refused: {error}"]
        if isinstance(event, h11.Request):
            first, body = event, []
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            found.append(meaning(bytes(first.method), origin_form(bytes(first.target)), b"".join(body)))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return found
            connection.start_next_cycle()
        else:
            return found


def by_server(port):
    """A reader that asks the server on this port."""
    return lambda sent: read_by_server(port, sent)


async def read_by_server(port, sent):
    """The meanings of the requests, as the server on this port reads them. It is told with an answer each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    found = []
    try:
        writer.write(sent)
        if not sent.endswith(LAST):
            writer.write_eof()
        while True:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status < 200:
                continue
            told = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("x-read:")]
            found.append(told[0] if told else f"refused: {status}")
            if not told:
                return found
    except (asyncio.IncompleteReadError, ConnectionError):
        return found
    except TimeoutError:
        return [*found, "silent"]
    finally:
        writer.close()


@contextlib.contextmanager
def node():
    """The port of Node's server."""
    with child(["node", str(HERE / "llhttp.mjs")], stdin=subprocess.PIPE) as process:
        yield int(line_that(process, r"listens on 127\.0\.0\.1:(\d+)")[1])


@contextlib.contextmanager
def nginx(echo, folder):
    """The port of an nginx that passes on what it reads, whole."""
    port, config = free_port(), folder / "nginx.conf"
    temporary = "\n".join(
        f"    {name}_temp_path {folder}/nginx.{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}
    client_max_body_size 16m;
    keepalive_requests 1000000;
    upstream echo {{ server 127.0.0.1:{echo}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://echo;
            proxy_http_version 1.1;
            proxy_next_upstream off;
            proxy_set_header Connection "";
        }}
    }}
}}
""")
    with child(["nginx", "-e", f"{folder}/nginx.error.log", "-c", str(config)]):
        wait_for(port)
        yield port


@contextlib.contextmanager
def haproxy(echo, folder):
    """The port of a HAProxy that passes on what it reads."""
    port, config = free_port(), folder / "haproxy.cfg"
    config.write_text(f"""
global
    maxconn 4096
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
    retries 0
frontend front
    bind 127.0.0.1:{port} backlog 1024
    default_backend echo
backend echo
    http-reuse always
    server echo 127.0.0.1:{echo}
""")
    with open(folder / "haproxy.log", "wb") as sink, child(["haproxy", "-db", "-f", str(config)], stdout=sink, stderr=sink):
        wait_for(port)
        yield port
