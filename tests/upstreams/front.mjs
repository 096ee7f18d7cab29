// Node as HTTP/2 server in front of the vendor, its HTTP/1.1 beside it: each connection takes 20 requests.
//     node front.mjs VENDOR_PORT KEY_FILE CERTIFICATE_FILE      prints `listens on 127.0.0.1:PORT`
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";

const [vendor, key, certificate] = process.argv.slice(2);
const REQUESTS = 20;
const agent = new http.Agent({ keepAlive: true });
const counted = new WeakMap();
let opened = 0;

const server = http2.createSecureServer({ allowHTTP1: true, key: fs.readFileSync(key), cert: fs.readFileSync(certificate) });
server.maxRequestsPerSocket = REQUESTS;
server.on("secureConnection", () => (opened += 1));

// True for a stream behind the 20th. The GOAWAY says how far the answers go; a stream that was read in one piece with it is
// refused by name, and neither is processed. The connection ends a moment later, once the other side has read that: a close
// with requests unread would be a reset that overtakes it.
function isBehindTheLast(stream) {
  const { session } = stream;
  const streams = (counted.get(session) ?? 0) + 1;
  counted.set(session, streams);
  if (streams === REQUESTS) {
    session.goaway(http2.constants.NGHTTP2_NO_ERROR, stream.id);
    setTimeout(() => session.close(), 200).unref();
  } else if (streams > REQUESTS) {
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    return true;
  }
  return false;
}

server.on("session", (session) => session.on("error", () => {}));

server.on("request", (request, answer) => {
  const socket = request.stream?.session?.socket ?? request.socket;
  if (request.url === "/__opened") return answer.end(String(opened));
  request.on("error", () => {});
  answer.on("error", () => {});
  if (request.stream?.session && isBehindTheLast(request.stream)) return;
  const fields = Object.entries(request.headers).filter(([name]) => !name.startsWith(":") && name !== "connection");
  const headers = Object.fromEntries(fields);
  headers["x-front"] = `${socket.remotePort} HTTP/${request.httpVersion}`;
  headers.host ??= request.headers[":authority"];
  const onward = http.request({ host: "127.0.0.1", port: vendor, agent, method: request.method, path: request.url, headers });
  onward.on("response", (response) => {
    const { connection, "keep-alive": _, "transfer-encoding": __, ...rest } = response.headers;
    answer.writeHead(response.statusCode, rest);
    response.pipe(answer);
  });
  onward.on("error", () => answer.destroy());
  request.pipe(onward);
});

server.listen(0, "127.0.0.1", 1024, () => console.log(`listens on 127.0.0.1:${server.address().port}`));
