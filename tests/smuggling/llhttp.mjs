// Node's HTTP server, whose parser is llhttp: says in a field of each answer how it read the request.
//     node llhttp.mjs      prints `listens on 127.0.0.1:PORT`
import { createHash } from "node:crypto";
import http from "node:http";

const server = http.createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, (request, answer) => {
  const digest = createHash("sha256");
  let length = 0;
  request.on("data", (part) => {
    digest.update(part);
    length += part.length;
  });
  request.on("end", () => {
    const target = Buffer.from(request.url, "latin1").toString("hex");
    answer.setHeader("x-read", `${request.method} ${target} ${length} ${digest.digest("hex").slice(0, 24)}`);
    answer.setHeader("content-length", 0);
    answer.end();
  });
  request.on("error", () => {});
});
server.maxRequestsPerSocket = 0;
server.listen(0, "127.0.0.1", () => console.log(`listens on 127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit(0));
