// Somebody who asks over plain HTTP, and says what answer is expected.

import { createHmac, randomBytes } from "node:crypto";

function need(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run this story through ../clients/run schema`);
  return value;
}

/** The server's base URL. */
export const url = need("HOMESERVER_URL");
const token = process.env.HOMESERVER_TOKEN;
const secret = process.env.HOMESERVER_SHARED_SECRET;
const suffix = randomBytes(4).toString("hex");

let asked = 0;
const surprises = [];

/** How many answers came, and those that were others than expected. */
export const result = () => ({ asked, surprises });

/** `id` as a segment of a path. */
export const seg = encodeURIComponent;

/** A name nobody has yet. */
export const fresh = (name) => `${name}-${suffix}`;

/**
 * One request. `is` is the expected answer: a status, or a status and a code as in "404 M_NOT_FOUND"; 200 by default.
 * Paths without a leading slash are under `/_matrix/client/v3/`. Gives the body, JSON where it is.
 */
export async function ask(method, path, { body, is = 200, auth, headers = {}, raw = false } = {}) {
  asked += 1;
  const full = path.startsWith("/") ? path : `/_matrix/client/v3/${path}`;
  const options = { method, headers: { ...headers }, redirect: "manual" };
  if (auth) options.headers.authorization = `Bearer ${auth}`;
  if (body !== undefined) {
    options.body = raw ? body : JSON.stringify(body);
    options.headers["content-type"] ??= "application/json";
  }
  const answer = await fetch(url + full, options);
  const text = await answer.text();
  const type = answer.headers.get("content-type") ?? "";
  const told = type.startsWith("application/json") ? JSON.parse(text) : text;
  const was = [answer.status, told.errcode].filter(Boolean).join(" ");
  if (was !== String(is)) surprises.push(`${method} ${path}: expected ${is}, got ${was} ${text.slice(0, 200)}`);
  return told;
}

/** A person with an account and a device. */
export class Person {
  constructor({ user_id, device_id, access_token, refresh_token }, password) {
    Object.assign(this, { user: user_id, device: device_id, token: access_token, refresh: refresh_token, password });
  }

  /** A request with this person's token. */
  ask(method, path, options) {
    return ask(method, path, { auth: this.token, ...options });
  }

  get(path, is) {
    return this.ask("GET", path, { is });
  }

  post(path, body = {}, is) {
    return this.ask("POST", path, { body, is });
  }

  put(path, body = {}, is) {
    return this.ask("PUT", path, { body, is });
  }

  delete(path, is, body = {}) {
    return this.ask("DELETE", path, { body, is });
  }

  /** The proof of the password, for a session of user-interactive authentication. */
  proof(session) {
    const identifier = { type: "m.id.user", user: this.user };
    return { auth: { type: "m.login.password", identifier, password: this.password, session } };
  }

  /** A request that needs the password: it is refused first, and asked for again with it. */
  async proven(method, path, body = {}) {
    const { session } = await this.ask(method, path, { body, is: 401 });
    return this.ask(method, path, { body: { ...body, ...this.proof(session) } });
  }

  /** Another device of the same person. */
  async again(further = {}) {
    const identifier = { type: "m.id.user", user: this.user };
    const body = { type: "m.login.password", identifier, password: this.password, ...further };
    return new Person(await ask("POST", "login", { body }), this.password);
  }

  /** The next batch of a sync, which this person has then seen. */
  async sync(query = "") {
    const since = this.batch ? `&since=${seg(this.batch)}` : "";
    const told = await this.get(`sync?timeout=0${since}${query}`);
    this.batch = told.next_batch;
    return told;
  }
}

/** Registers somebody, with the registration token where one is asked for. */
export async function register(name, further = {}) {
  const password = `wombat lantern quartz drizzle ${name}`;
  const body = { username: fresh(name), password, ...further };
  const { session, flows } = await ask("POST", "register", { body, is: 401 });
  const type = flows[0].stages[0];
  const auth = { type, session, ...(type === "m.login.registration_token" && { token }) };
  return new Person(await ask("POST", "register", { body: { ...body, auth } }), password);
}

/** Registers an administrator with the shared secret. */
export async function administrator(name) {
  const path = "/_synapse/admin/v1/register";
  const { nonce } = await ask("GET", path);
  const password = `wombat lantern quartz drizzle ${name}`;
  const mac = createHmac("sha1", secret).update([nonce, fresh(name), password, "admin"].join("\0")).digest("hex");
  const body = { nonce, username: fresh(name), password, admin: true, mac };
  return new Person(await ask("POST", path, { body }), password);
}
