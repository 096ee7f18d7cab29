"""The servers that stand in front of the vendor, each with TLS, HTTP/2 and HTTP/1.1, each closing its connections early.

nginx and Node count: a connection takes 20 requests. HAProxy 2.6 and h2o 2.2 cannot count the requests of an HTTP/2
connection; they are told to reload after every 20 calls, which is how their connections end in the field. Their HTTP/1.1
connections take one request each, because a reload closes idle ones unannounced: a write that meets this has no certain
fate (RFC 9110 §9.2.2), and no proxy could answer for it. (Apache 2.4.71 was tried in h2o's place: its graceful restart ends
connections with a GOAWAY of code 0xfffffc7a and takes accepted calls with it, so that no client could be without errors.)
"""

import contextlib
import os
import re
import signal
import ssl
import subprocess
import urllib.request
from pathlib import Path

from children import child, free_port, line_that, wait_for

REQUESTS = 20
HERE = Path(__file__).parent


class Server:
    """A server that runs: its port, how many connections it has accepted if it can say so, how to have it close them all.

    `fronts` is for the one that cannot tell the vendor on which connection and in which version a call came: how many label
    calls, and how many others, came on each connection in each version.
    """

    def __init__(self, port, opened=None, recycle=None, fronts=None):
        self.port, self.opened, self.recycle, self.fronts = port, opened, recycle, fronts


@contextlib.contextmanager
def nginx(vendor, folder):
    """nginx, its built-in bound of requests a connection set to 20."""
    port, status = free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx.body;
    proxy_temp_path {folder}/nginx.proxy;
    fastcgi_temp_path {folder}/nginx.fastcgi;
    uwsgi_temp_path {folder}/nginx.uwsgi;
    scgi_temp_path {folder}/nginx.scgi;
    client_max_body_size 16m;
    keepalive_requests {REQUESTS};
    upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=1024;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://vendor;
            proxy_http_version 1.1;
            proxy_next_upstream off;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Front "$remote_port $server_protocol";
        }}
    }}
    server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
""")

    def opened():
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/", timeout=5) as page:
            return int(page.read().split()[7])

    # Accepted on both listeners; each look at the page is one of them.
    looks = iter(range(1, 1000))
    with child(["nginx", "-e", f"{folder}/nginx.error.log", "-c", str(config)]):
        wait_for(port)
        yield Server(port, lambda: opened() - next(looks) - 1)


@contextlib.contextmanager
def haproxy(vendor, folder):
    """HAProxy under its master, which is told to reload: the old worker says GOAWAY on every connection and ends."""
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
    hard-stop-after 5s
    maxconn 4096
    stats socket {folder}/haproxy.sock mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    retries 0
frontend front
    bind 127.0.0.1:{port} ssl crt {folder}/both.pem alpn h2,http/1.1 backlog 1024
    http-request set-header x-front "%[src_port] HTTP/%[fc_http_major].x"
    http-after-response set-header connection close if !{{ fc_http_major 2 }}
    default_backend vendor
backend vendor
    http-reuse always
    server vendor 127.0.0.1:{vendor}
""")
    log = folder / "haproxy.log"
    with open(log, "wb") as sink, child(["haproxy", "-W", "-db", "-f", str(config)], stdout=sink, stderr=sink) as process:
        wait_for(port)
        yield Server(port, recycle=lambda: process.send_signal(signal.SIGUSR2))


def fronts(log):
    """By its log: the version that each call came in, by the connection's source port, and whether it was a label call."""
    lines = (line.split(" ") for line in log.read_text("utf-8", "replace").splitlines()) if log.exists() else ()
    found = {}
    for port, version_, path in lines:
        found.setdefault(port, []).append(("label " if path.startswith("/api/v2/lead-labels") else "other ") + version_)
    return found


@contextlib.contextmanager
def h2o(vendor, folder):
    """h2o under its master, which is told to reload: two GOAWAYs a second apart, the second with the last stream's id."""
    port = free_port()
    config, log = folder / "h2o.conf", folder / "h2o.log"
    config.write_text(f"""
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {folder}/server.pem
    key-file: {folder}/server.key
    minimum-version: TLSv1.2
    ocsp-update-interval: 0
pid-file: {folder}/h2o.pid
error-log: {folder}/h2o.error.log
num-threads: 1
http1-upgrade-to-http2: OFF
http2-graceful-shutdown-timeout: 5
access-log:
  path: {log}
  format: "%{{remote}}p %H %U"
hosts:
  default:
    paths:
      /:
        proxy.preserve-host: ON
        proxy.timeout.keepalive: 0
        proxy.reverse.url: http://127.0.0.1:{vendor}/
""")
    with open(folder / "h2o.output", "wb") as sink:
        with child(["h2o", "-m", "master", "-c", str(config)], stdout=sink, stderr=sink) as process:
            wait_for(port)
            yield Server(port, recycle=lambda: process.send_signal(signal.SIGHUP), fronts=lambda: fronts(log))


@contextlib.contextmanager
def node(vendor, folder):
    """Node's own server: GOAWAY with the 20th stream."""
    with child(["node", str(HERE / "front.mjs"), str(vendor), f"{folder}/server.key", f"{folder}/server.pem"]) as process:
        port = int(line_that(process, r"listens on 127\.0\.0\.1:(\d+)")[1])
        context = ssl.create_default_context(cafile=f"{folder}/ca.pem")

        def opened():
            with urllib.request.urlopen(f"https://localhost:{port}/__opened", timeout=5, context=context) as answer:
                return int(answer.read()) - 1

        yield Server(port, opened)


EVERY = {"nginx": nginx, "haproxy": haproxy, "h2o": h2o, "node": node}


def version(name):
    """What the server calls itself."""
    command = {"nginx": "nginx -v", "haproxy": "haproxy -v", "h2o": "h2o -v", "node": "node --version"}[name]
    told = subprocess.run(command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout.decode()
    number = re.search(r"(\d+\.\d+\.\d+)", told)[1]
    return f"{name} {number}"
