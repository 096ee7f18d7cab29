#!/usr/bin/env bash
#
# nginx 1.22.1 (Debian 12's nginx): an HTTP/2 request that carries Host beside an :authority of the same value.
#
# It is answered 400 ("client sent duplicate host header"), though RFC 9113 §8.3.1 calls only a Host that differs malformed, and
# intermediaries that come from HTTP/1.1 send both. Without Host the same request is answered 200.
#
# seen:
#     authority alone: 200
#     the same host beside it: 400
#     client sent duplicate host header: "host: localhost", previous value: "host: localhost"
#
# The client is Node 20.20.2 of npm. Needs apt-get, dpkg-deb, npm and what nginx links to (PCRE 2, OpenSSL 3, zlib).

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
apt-get download -qq nginx 2>/dev/null
[[ $(dpkg-deb --field nginx_*.deb Version) == 1.22.1-9+deb12u* ]]
dpkg-deb --extract nginx_*.deb nginx
npm install --silent --no-fund --no-audit --prefix . node@20.20.2

cat >nginx.conf <<CONF
daemon off;
master_process off;
pid $folder/pid;
error_log $folder/errors info;
events {}
http {
    access_log off;
    client_body_temp_path $folder/bodies;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen unix:$folder/socket http2;
        location / { return 200; }
    }
}
CONF
nginx/usr/sbin/nginx -p "$folder" -e "$folder/errors" -c "$folder/nginx.conf" &
server=$!
until [[ -S socket ]]; do kill -0 "$server"; done

cat >ask.mjs <<'NODE'
import http2 from "node:http2";
import net from "node:net";

const ask = (fields) => new Promise((answered, failed) => {
  const client = http2.connect("http://localhost", { createConnection: () => net.connect("socket") });
  client.on("error", failed);
  const request = client.request({ ":path": "/", ":authority": "localhost", ...fields });
  request.on("response", (head) => { answered(head[":status"]); client.close(); });
  request.resume();
});
console.log(`authority alone: ${await ask({})}`);
console.log(`the same host beside it: ${await ask({ host: "localhost" })}`);
NODE
node_modules/.bin/node ask.mjs | tee seen
grep --only-matching 'client sent .*previous value: "[^"]*"' errors | tee -a seen
diff seen - <<'SEEN'
authority alone: 200
the same host beside it: 400
client sent duplicate host header: "host: localhost", previous value: "host: localhost"
SEEN
