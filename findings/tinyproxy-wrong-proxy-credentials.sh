#!/usr/bin/env bash
#
# tinyproxy 1.11.1 (Debian 12's tinyproxy-bin) with BasicAuth: what a client hears whose Proxy-Authorization is wrong.
#
# It is answered 401 with WWW-Authenticate, where a proxy asks with 407 and Proxy-Authenticate (RFC 9110 §11.7): a client takes
# the refusal for one of the server that it asked for, and may throw away a key that is good. Without credentials it is 407.
#
# seen:
#     none: HTTP/1.0 407 Proxy Authentication Required, Proxy-Authenticate: Basic realm="Tinyproxy"
#     wrong: HTTP/1.0 401 Unauthorized, WWW-Authenticate: Basic realm="Tinyproxy"
#
# Needs apt-get, dpkg-deb and python3. The server that is asked for is never reached.

set -euo pipefail

folder=$(mktemp -d)
server=
finish() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"
apt-get download -qq tinyproxy-bin 2>/dev/null
[[ $(dpkg-deb --field tinyproxy-bin_*.deb Version) == 1.11.1-2.1* ]]
dpkg-deb --extract tinyproxy-bin_*.deb tinyproxy

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >tinyproxy.conf <<CONF
Listen 127.0.0.1
Port $port
Timeout 10
Allow 127.0.0.1
BasicAuth user right
CONF
tinyproxy/usr/bin/tinyproxy -d -c tinyproxy.conf >tinyproxy.log 2>&1 &
server=$!

cat >ask.py <<'PYTHON'
import base64
import socket
import sys
import time

port = int(sys.argv[1])
for _ in range(500):
    with socket.socket() as attempt:
        if attempt.connect_ex(("127.0.0.1", port)) == 0:
            break
    time.sleep(0.01)

for name, credentials in (("none", None), ("wrong", "user:wrong")):
    field = f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}\r\n" if credentials else ""
    with socket.create_connection(("127.0.0.1", port)) as proxy, proxy.makefile("rb") as answer:
        proxy.sendall(f"GET http://server.invalid/ HTTP/1.1\r\nHost: server.invalid\r\n{field}\r\n".encode())
        lines = [line.decode().strip() for line in answer]
    asked = next(line for line in lines if line.lower().startswith(("proxy-authenticate:", "www-authenticate:")))
    print(f"{name}: {lines[0]}, {asked}")
PYTHON
python3 ask.py "$port" | tee seen
diff seen - <<'SEEN'
none: HTTP/1.0 407 Proxy Authentication Required, Proxy-Authenticate: Basic realm="Tinyproxy"
wrong: HTTP/1.0 401 Unauthorized, WWW-Authenticate: Basic realm="Tinyproxy"
SEEN
