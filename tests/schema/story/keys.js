// Devices' keys, messages to devices, key backup. The keys are real, as the server checks signatures.

import { generateKeyPairSync, sign } from "node:crypto";
import { seg } from "../client.js";

export async function keys({ alice, bob }) {
  await deviceKeys(alice, bob);
  await crossSigning(alice, bob);
  await bob.put("sendToDevice/org.example.type/1", { messages: { [alice.user]: { "*": { a: 1 } } } });
  await bob.put("sendToDevice/org.example.type/2", { messages: 5 }, "400 M_BAD_JSON");
  await alice.sync();
  await alice.sync();
  const changes = `keys/changes?from=${seg(bob.batch)}&to=${seg(bob.batch)}`;
  await bob.get(changes);
  await backup(alice);
}

class Key {
  #pair = generateKeyPairSync("ed25519");

  get public() {
    return base64(this.#pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  }

  /** `object` with this key's signature by `user` under `id`. */
  signed(object, user, id) {
    const { signatures = {}, unsigned, ...bare } = object;
    const signature = base64(sign(null, Buffer.from(canonical(bare)), this.#pair.privateKey));
    return { ...object, signatures: { ...signatures, [user]: { ...signatures[user], [id]: signature } } };
  }
}

const base64 = (bytes) => Buffer.from(bytes).toString("base64").replaceAll("=", "");

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

async function deviceKeys(alice, bob) {
  const { user, device } = alice;
  const [own, curve] = [new Key(), base64(Buffer.alloc(32, 7))];
  const algorithms = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"];
  const names = { [`ed25519:${device}`]: own.public, [`curve25519:${device}`]: curve };
  const signed = (object) => own.signed(object, user, `ed25519:${device}`);
  const device_keys = signed({ user_id: user, device_id: device, algorithms, keys: names });
  const fresh = (byte) => signed({ key: base64(Buffer.alloc(32, byte)) });
  const fallback_keys = { "signed_curve25519:F": signed({ key: base64(Buffer.alloc(32, 9)), fallback: true }) };
  await alice.post("keys/upload", { device_keys, one_time_keys: { "signed_curve25519:A": fresh(1) }, fallback_keys });
  await alice.post("keys/upload", { device_keys: { ...device_keys, user_id: bob.user } }, "400 M_BAD_JSON");
  await alice.post("keys/upload", { one_time_keys: { "signed_curve25519:A": fresh(2) } }, "400 M_UNKNOWN");
  await bob.post("keys/query", { device_keys: { [user]: [], "@nobody:localhost": [] } });
  await bob.post("keys/query", {}, "400 M_MISSING_PARAM");
  const one_time_keys = { [user]: { [device]: "signed_curve25519" } };
  for (let times = 0; times < 2; times += 1) await bob.post("keys/claim", { one_time_keys });
  Object.assign(alice, { own, device_keys });
}

async function crossSigning(alice, bob) {
  const { user, device, own } = alice;
  const [master, self, others] = [new Key(), new Key(), new Key()];
  const named = (key, usage) => ({ user_id: user, usage: [usage], keys: { [`ed25519:${key.public}`]: key.public } });
  const by = (key, object) => key.signed(object, user, `ed25519:${key.public}`);
  const master_key = named(master, "master");
  const self_signing_key = by(master, named(self, "self_signing"));
  const upload = "keys/device_signing/upload";
  await alice.post(upload, { self_signing_key: named(self, "self_signing") }, "400 M_MISSING_PARAM");
  await alice.post(upload, { master_key, self_signing_key: by(others, named(self, "self_signing")) }, "400 M_INVALID_SIGNATURE");
  await alice.post(upload, { master_key, self_signing_key, user_signing_key: by(master, named(others, "user_signing")) });
  const again = { master_key: named(others, "master") };
  await alice.ask("POST", upload, { body: again, is: 401 });
  const device_keys = by(self, alice.device_keys);
  const bad = own.signed({ ...alice.device_keys, keys: {} }, user, `ed25519:${device}`);
  await alice.post("keys/signatures/upload", { [user]: { [device]: device_keys } });
  await alice.post("keys/signatures/upload", { [user]: { [device]: bad } });
  await bob.post("keys/query", { device_keys: { [user]: [] } });
}

async function backup(alice) {
  await alice.get("room_keys/version", "404 M_NOT_FOUND");
  const algorithm = "m.megolm_backup.v1.curve25519-aes-sha2";
  const auth_data = { public_key: base64(Buffer.alloc(32, 5)), signatures: {} };
  const { version } = await alice.post("room_keys/version", { algorithm, auth_data });
  await alice.get("room_keys/version");
  const own = `room_keys/version/${version}`;
  await alice.get(own);
  await alice.get("room_keys/version/999", "404 M_NOT_FOUND");
  await alice.put(own, { algorithm, auth_data, version });
  await alice.put(own, { algorithm: "x", auth_data, version }, "400 M_INVALID_PARAM");
  await alice.put("room_keys/version/999", { algorithm, auth_data, version: "999" }, "404 M_NOT_FOUND");

  const of = `?version=${version}`;
  const session = { first_message_index: 0, forwarded_count: 0, is_verified: true, session_data: { ciphertext: "x", ephemeral: "y", mac: "z" } };
  const [room, id] = [seg("!r:localhost"), seg("s/1")];
  await alice.put(`room_keys/keys/${room}/${id}${of}`, session);
  await alice.put(`room_keys/keys/${room}${of}`, { sessions: { s2: session } });
  await alice.put(`room_keys/keys${of}`, { rooms: { "!q:localhost": { sessions: { s3: session } } } });
  for (const part of ["", `/${room}`, `/${room}/${id}`]) await alice.get(`room_keys/keys${part}${of}`);
  await alice.get(`room_keys/keys/${room}/none${of}`, "404 M_NOT_FOUND");
  await alice.get("room_keys/keys?version=999", "404 M_NOT_FOUND");
  for (const part of ["", `/${room}`, `/${room}/${id}`]) {
    const body = part === "" ? { rooms: {} } : part.includes(id) ? session : { sessions: {} };
    await alice.put(`room_keys/keys${part}?version=999`, body, "404 M_NOT_FOUND");
  }
  const next = await alice.post("room_keys/version", { algorithm, auth_data });
  await alice.put(`room_keys/keys/${room}/${id}${of}`, session, "403 M_WRONG_ROOM_KEYS_VERSION");
  const newer = `?version=${next.version}`;
  for (const part of [`/${room}/${id}`, `/${room}`, ""]) {
    await alice.delete(`room_keys/keys${part}${newer}`);
    await alice.delete(`room_keys/keys${part}?version=999`, "404 M_NOT_FOUND");
  }
  await alice.delete(`room_keys/version/${next.version}`);
  await alice.delete("room_keys/version/999", "404 M_NOT_FOUND");
}
