// Media, and previews of a page that this story serves.

import http from "node:http";
import { deflateSync } from "node:zlib";
import { ask, seg } from "../client.js";

const V1 = "/_matrix/client/v1/media";
const V3 = "/_matrix/media/v3";

export async function media({ alice, bob }) {
  const png = picture(64, 48);
  const headers = { "content-type": "image/png" };
  const sent = await alice.ask("POST", `${V3}/upload?filename=a.png`, { body: png, raw: true, headers });
  const place = sent.content_uri.slice("mxc://".length);
  for (const [base, who] of [[V1, bob], [V3, bob]]) {
    await who.get(`${base}/download/${place}`);
    await who.get(`${base}/download/${place}/other.png`);
    await who.get(`${base}/thumbnail/${place}?width=32&height=32&method=crop`);
    await who.get(`${base}/thumbnail/${place}?width=0&height=32`, "400 M_INVALID_PARAM");
    await who.get(`${base}/config`);
    await who.get(`${base}/download/localhost/none`, "404 M_NOT_FOUND");
  }
  await ask("GET", `${V1}/download/${place}`, { is: "401 M_MISSING_TOKEN" });
  await ask("GET", `${V3}/download/${place}`, { is: "404 M_NOT_FOUND" });
  const text = await alice.ask("POST", `${V3}/upload`, { body: "text", raw: true, headers: { "content-type": "text/plain" } });
  await bob.get(`${V1}/thumbnail/${text.content_uri.slice(6)}?width=32&height=32`, "400 M_UNKNOWN");

  const made = (await alice.post("/_matrix/media/v1/create")).content_uri.slice("mxc://".length);
  await bob.get(`${V1}/download/${made}?timeout_ms=0`, "504 M_NOT_YET_UPLOADED");
  await bob.get(`${V1}/thumbnail/${made}?timeout_ms=0&width=1&height=1`, "504 M_NOT_YET_UPLOADED");
  await bob.ask("PUT", `${V3}/upload/${made}`, { body: png, raw: true, headers, is: "403 M_FORBIDDEN" });
  await alice.ask("PUT", `${V3}/upload/${made}`, { body: png, raw: true, headers });
  await alice.ask("PUT", `${V3}/upload/${made}`, { body: png, raw: true, headers, is: "409 M_CANNOT_OVERWRITE_MEDIA" });
  await alice.ask("PUT", `${V3}/upload/localhost/none`, { body: png, raw: true, headers, is: "404 M_NOT_FOUND" });
  await previews(alice, png);
}

async function previews(alice, png) {
  const pages = http.createServer((request, response) => {
    const [type, body] = request.url === "/a.png" ? ["image/png", png] : ["text/html", page];
    response.writeHead(200, { "content-type": type, connection: "close" }).end(body);
  });
  const page = "<title>A page</title><meta property=og:image content=a.png><meta name=description content=x>";
  await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
  const address = seg(`http://127.0.0.1:${pages.address().port}/`);
  await alice.get(`${V1}/preview_url?url=${address}`);
  await alice.get(`${V3}/preview_url?url=${address}&ts=1`);
  await alice.get(`${V1}/preview_url?url=x`, "400 M_INVALID_PARAM");
  await alice.get(`${V1}/preview_url?url=${seg("http://10.0.0.1/")}`, "502 M_CONNECTION_FAILED");
  pages.close();
}

/** A grey picture as PNG. */
function picture(width, height) {
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.writeUInt8(8, 8);
  const rows = deflateSync(Buffer.alloc((width + 1) * height));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]);
}

function crc(bytes) {
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}
