// Makes the calls of a file with a library of Node: drive.mjs http|fetch|axios BASE KEY FILE, axios from NODE_PATH's folder.
// As drive.py tells.
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const [library, base, defaultKey, file] = process.argv.slice(2);

function parts(call) {
  const headers = { Authorization: `Bearer ${call.key ?? defaultKey}`, ...call.fields };
  const body = call.body == null ? undefined : Buffer.from(call.body.repeat(call.times ?? 1));
  // Without this, what a method that has no body by its nature is given goes out without any framing.
  if (call.chunked && library !== "fetch") headers["Transfer-Encoding"] = "chunked";
  return { headers, body };
}

function byHttp(call) {
  const { headers, body } = parts(call);
  if (body && !call.chunked) headers["Content-Length"] = body.length;
  return new Promise((resolve, reject) => {
    const request = http.request(base + call.target, { method: call.method, headers, timeout: 30000 });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("timed out")));
    request.on("response", async (answer) => {
      try {
        const pieces = [];
        for await (const piece of answer) pieces.push(piece);
        const fields = [];
        for (let at = 0; at < answer.rawHeaders.length; at += 2) fields.push(answer.rawHeaders.slice(at, at + 2));
        resolve({ status: answer.statusCode, fields, content: Buffer.concat(pieces) });
      } catch (error) {
        reject(error);
      }
    });
    if (body?.length) request.write(body);
    request.end();
  });
}

async function byFetch(call) {
  const { headers, body } = parts(call);
  const content = call.chunked ? Readable.toWeb(Readable.from([body])) : body;
  const options = { method: call.method, headers, body: content, duplex: "half", redirect: "manual" };
  const answer = await fetch(base + call.target, { ...options, signal: AbortSignal.timeout(30000) });
  return { status: answer.status, fields: [...answer.headers], content: Buffer.from(await answer.arrayBuffer()) };
}

async function byAxios(call) {
  const { headers, body } = parts(call);
  const data = call.chunked ? Readable.from([body]) : call.data !== undefined ? call.data : body;
  const options = { url: base + call.target, method: call.method, headers, data, timeout: 30000, maxRedirects: 0 };
  const answer = await axios({ ...options, responseType: "arraybuffer", validateStatus: () => true });
  const fields = Object.entries(answer.headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return { status: answer.status, fields, content: Buffer.from(answer.data) };
}

const axios = library === "axios" && createRequire(`${process.env.NODE_PATH}/`)("axios");
// An error that nobody listens for ends the process of whoever uses the library.
let blame = () => {};
process.on("uncaughtException", (error) => blame(error));
const driver = { http: byHttp, fetch: byFetch, axios: byAxios }[library];
for (const call of JSON.parse(fs.readFileSync(file, "utf8"))) {
  let told;
  try {
    const died = new Promise((_, reject) => (blame = reject));
    const { status, fields, content } = await Promise.race([driver(call), died]);
    const sha256 = crypto.createHash("sha256").update(content).digest("hex");
    told = { status, fields, length: content.length, sha256, start: content.subarray(0, 2000).toString("latin1") };
  } catch (error) {
    told = { error: `${error.name}: ${error.message} ${error.cause?.code ?? error.code ?? ""}`.slice(0, 200) };
  }
  console.log(JSON.stringify({ name: call.name, ...told }));
}
process.exit(0);
