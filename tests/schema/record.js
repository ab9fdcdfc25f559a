// A reverse proxy on loopback that writes down every answer: `node record.js TARGET FILE`.
//
// Prints its own address, then a line of JSON into FILE for each answer. Names of query parameters and of the body's
// keys are kept of a request, because two operations can share a path; their values are not.

import { appendFileSync } from "node:fs";
import http from "node:http";
import { pipeline } from "node:stream";

/** The largest body kept. */
const MOST = 8 << 20;
/** Headers of an answer that schemas speak of. */
const HEADERS = ["content-type", "content-disposition", "location"];

const target = new URL(process.argv[2]);
const file = process.argv[3];
const agent = new http.Agent({ keepAlive: false });

const server = http.createServer((request, response) => {
  const asked = [];
  request.on("data", (piece) => asked.push(piece));
  const options = {
    agent,
    host: target.hostname,
    port: target.port,
    method: request.method,
    path: request.url,
    headers: request.headers,
  };
  const forwarded = http.request(options, (answer) => {
    const told = [];
    let length = 0;
    answer.on("data", (piece) => {
      length += piece.length;
      if (length <= MOST) told.push(piece);
    });
    answer.on("end", () => record(request, Buffer.concat(asked), answer, length <= MOST ? Buffer.concat(told) : null));
    response.writeHead(answer.statusCode, answer.headers);
    pipeline(answer, response, () => {});
  });
  // A server that is down, or was killed, is seen as that.
  forwarded.on("error", () => request.socket.destroy());
  response.on("close", () => response.writableFinished || forwarded.destroy());
  request.pipe(forwarded);
});

server.requestTimeout = 0;
server.keepAliveTimeout = 1;
server.listen(0, "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${server.address().port}\n`));

function record(request, asked, answer, body) {
  if (["OPTIONS", "HEAD"].includes(request.method) || !answer.complete) return;
  const [path, query] = request.url.split("?");
  const line = {
    method: request.method,
    path,
    query: [...new Set(new URLSearchParams(query).keys())],
    asked: Object.keys(json(asked) ?? {}),
    status: answer.statusCode,
    headers: Object.fromEntries(HEADERS.map((name) => [name, answer.headers[name]])),
  };
  const type = answer.headers["content-type"] ?? "";
  if (type.startsWith("application/json") && body) {
    line.body = json(body);
    if (line.body === undefined) line.broken = true;
  }
  appendFileSync(file, `${JSON.stringify(line)}\n`);
}

function json(bytes) {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}
