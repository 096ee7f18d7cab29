#!/usr/bin/env bash
#
# Node 20.20.2 (npm's package `node`): an HTTP/2 upload that its client calls off by req.destroy(), after 12 of the 40 bytes
# that its content-length announces.
#
# The stream is reset with NO_ERROR (0), which says that nothing went wrong, and not with CANCEL (8; RFC 9113 §7). Node's own
# server then ends the body: beside 'aborted' there is 'end', after 12 bytes, so that a handler that waits for 'end' alone takes
# the piece for the whole. On HTTP/1.1 the same call closes the connection, and no 'end' comes.
#
# seen:
#     HTTP/2: aborted, code 0; end after 12 of 40 bytes
#     HTTP/1.1: aborted
#
# Needs npm.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit --prefix . node@20.20.2

cat >call-off.mjs <<'NODE'
import http from "node:http";
import http2 from "node:http2";
import { once } from "node:events";

const ANNOUNCED = 40;
const PIECE = "x".repeat(12);

async function listening(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

async function overHttp2() {
  const server = http2.createServer();
  const client = http2.connect(await listening(server));
  const request = client.request({ ":method": "POST", ":path": "/", "content-length": ANNOUNCED });
  request.on("error", () => {});
  const [stream] = await Promise.all([once(server, "stream").then(([stream]) => stream), request.write(PIECE)]);
  const seen = [];
  let received = 0;
  stream.on("aborted", () => seen.push(`aborted, code ${stream.rstCode}`));
  stream.on("end", () => seen.push(`end after ${received} of ${ANNOUNCED} bytes`));
  stream.on("error", () => {});
  stream.on("data", (bytes) => {
    received += bytes.length;
    request.destroy();
  });
  await new Promise((closed) => stream.on("close", closed));
  client.close();
  server.close();
  return seen.join("; ");
}

async function overHttp1() {
  const server = http.createServer();
  const url = await listening(server);
  const request = http.request(url, { method: "POST", headers: { "content-length": ANNOUNCED } });
  request.on("error", () => {});
  request.write(PIECE);
  const [received] = await once(server, "request");
  const seen = [];
  received.on("aborted", () => seen.push("aborted"));
  received.on("end", () => seen.push("end"));
  received.on("error", () => {});
  received.on("data", () => request.destroy());
  await new Promise((closed) => received.on("close", closed));
  server.close();
  return seen.join("; ");
}

console.log(`HTTP/2: ${await overHttp2()}`);
console.log(`HTTP/1.1: ${await overHttp1()}`);
NODE
node_modules/.bin/node call-off.mjs | tee seen
diff seen - <<'SEEN'
HTTP/2: aborted, code 0; end after 12 of 40 bytes
HTTP/1.1: aborted
SEEN
