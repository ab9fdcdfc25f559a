// Pictures, and the encrypted attachments of the specification (`EncryptedFile`, AES-CTR v2).

import { deflateSync } from "node:zlib";

const { subtle } = globalThis.crypto;
const base64 = (bytes) => Buffer.from(bytes).toString("base64").replace(/=+$/, "");

/** A PNG of `size` × `size` pixels with a colour gradient, no two sizes alike. */
export function picture(size) {
  const rows = [];
  for (let y = 0; y < size; y += 1) {
    const row = Buffer.alloc(1 + size * 3);
    for (let x = 0; x < size; x += 1) {
      row.set([(x * 255) / size, (y * 255) / size, (x * y) % 256], 1 + x * 3);
    }
    rows.push(row);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Encrypts `plain`: the bytes to upload, and the `EncryptedFile` fields but for `url`. */
export async function encrypt(plain) {
  const counter = new Uint8Array(16);
  globalThis.crypto.getRandomValues(counter.subarray(0, 8));
  const key = await subtle.generateKey({ name: "AES-CTR", length: 256 }, true, ["encrypt", "decrypt"]);
  const bytes = new Uint8Array(await subtle.encrypt({ name: "AES-CTR", counter, length: 64 }, key, plain));
  const hash = await subtle.digest("SHA-256", bytes);
  const jwk = await subtle.exportKey("jwk", key);
  return {
    bytes,
    file: {
      v: "v2",
      key: { alg: "A256CTR", ext: true, k: jwk.k, key_ops: ["encrypt", "decrypt"], kty: "oct" },
      iv: base64(counter),
      hashes: { sha256: base64(hash) },
    },
  };
}

/** Checks and decrypts downloaded bytes with the `EncryptedFile` of a message. */
export async function decrypt(bytes, file) {
  const hash = base64(await subtle.digest("SHA-256", bytes));
  if (hash !== file.hashes.sha256) throw new Error("the download is not what was uploaded");
  const key = await subtle.importKey("jwk", file.key, { name: "AES-CTR" }, false, ["decrypt"]);
  const counter = Buffer.from(file.iv, "base64");
  return Buffer.from(await subtle.decrypt({ name: "AES-CTR", counter, length: 64 }, key, bytes));
}

/** Width and height of a PNG or JPEG, read from its header. */
export function dimensions(bytes) {
  if (bytes.readUInt32BE(0) === 0x89504e47) return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  for (let at = 2; at < bytes.length; at += 2 + bytes.readUInt16BE(at + 2)) {
    const kind = bytes[at + 1];
    if (kind >= 0xc0 && kind <= 0xc2) return [bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)];
  }
  throw new Error("neither PNG nor JPEG");
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
