// One device of one person: a matrix-js-sdk client with persistent stores, as a browser tab has.

import * as sdk from "matrix-js-sdk";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/recovery-key.js";
import { recordingFetch } from "./wire.js";
import { url, registrationToken } from "./server.js";
import { until } from "./check.js";

/** Registers `localpart` through the offered flow and gives back its first device. */
export async function register(localpart, password) {
  const client = sdk.createClient({ baseUrl: url, fetchFn: recordingFetch });
  const body = { username: localpart, password, initial_device_display_name: "story" };
  const session = await authenticate(
    (auth) => client.registerRequest(auth ? { ...body, auth } : body),
    { localpart, password },
  );
  return new Device(session, password);
}

/** Logs in by password: another device of the same person. */
export async function logIn(localpart, password) {
  const client = sdk.createClient({ baseUrl: url, fetchFn: recordingFetch });
  const session = await client.loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user: localpart },
    password,
    initial_device_display_name: "story, another device",
  });
  return new Device(session, password);
}

/** User-interactive authentication: stages of the first flow that this story can walk. */
export async function authenticate(request, { localpart, password }) {
  let answer = await attempt(request, null);
  const stages = {
    "m.login.dummy": {},
    "m.login.registration_token": { token: registrationToken },
    "m.login.password": { identifier: { type: "m.id.user", user: localpart }, password },
  };
  while (answer.challenge) {
    const { session, flows, completed = [] } = answer.challenge;
    const flow = flows.find((one) => one.stages.every((stage) => stage in stages));
    if (!flow) throw new Error(`no flow this story can walk: ${JSON.stringify(flows)}`);
    const type = flow.stages.find((stage) => !completed.includes(stage));
    answer = await attempt(request, { type, session, ...stages[type] });
    if (answer.challenge?.errcode) throw new Error(`${type} refused: ${answer.challenge.errcode}`);
  }
  return answer.result;
}

async function attempt(request, auth) {
  try {
    return { result: await request(auth) };
  } catch (error) {
    if (error.httpStatus === 401 && error.data?.flows) return { challenge: error.data };
    throw error;
  }
}

/** A browser's localStorage, one to a device. */
class MemoryStorage {
  #items = new Map();
  get length() {
    return this.#items.size;
  }
  key(index) {
    return [...this.#items.keys()][index] ?? null;
  }
  getItem(key) {
    return this.#items.get(key) ?? null;
  }
  setItem(key, value) {
    this.#items.set(key, String(value));
  }
  removeItem(key) {
    this.#items.delete(key);
  }
}

/** A device; `start` and `stop` are opening and closing the tab, its stores stay. */
export class Device {
  constructor(session, password) {
    this.session = session;
    this.password = password;
    this.userId = session.user_id;
    this.localpart = session.user_id.slice(1).split(":")[0];
    this.deviceId = session.device_id;
    this.recoveryKey = null;
    this.requests = [];
    this.storage = new MemoryStorage();
  }

  /** Opens the tab: loads the stores, starts syncing, returns after the first sync. */
  async start() {
    const name = `${this.userId}/${this.deviceId}`;
    const store = new sdk.IndexedDBStore({ indexedDB, localStorage: this.storage, dbName: name });
    this.client = sdk.createClient({
      baseUrl: url,
      fetchFn: recordingFetch,
      userId: this.userId,
      deviceId: this.deviceId,
      accessToken: this.session.access_token,
      store,
      timelineSupport: true,
      verificationMethods: ["m.sas.v1"],
      cryptoCallbacks: { getSecretStorageKey: ({ keys }) => this.#secretStorageKey(keys) },
    });
    await store.startup();
    await this.client.initRustCrypto({ cryptoDatabasePrefix: name });
    this.client.on("crypto.verificationRequestReceived", (request) => this.requests.push(request));
    this.syncs = 0;
    this.client.on("sync", (state) => (this.syncs += state === "SYNCING" ? 1 : 0));
    await this.client.startClient({
      initialSyncLimit: 20,
      lazyLoadMembers: true,
      threadSupport: true,
      pendingEventOrdering: "detached",
    });
    await until(`${this.localpart} has synced`, () => this.syncs > 0);
  }

  /** Closes the tab after writing what it knows, sync token included. */
  async stop() {
    await this.client.store.save(true);
    this.client.stopClient();
  }

  get crypto() {
    return this.client.getCrypto();
  }

  /** The room once this device knows it with the given membership. */
  room(roomId, membership = "join") {
    return until(`${this.localpart} has the room as ${membership}`, () => {
      const room = this.client.getRoom(roomId);
      return room?.getMyMembership() === membership && room;
    });
  }

  /** The room once this device has joined it and encrypts what it sends there. */
  async encryptedRoom(roomId) {
    const room = await this.room(roomId);
    await until(`${this.localpart} encrypts in the room`, () => this.crypto.isEncryptionEnabledInRoom(roomId));
    return room;
  }

  /** An event of the room's timeline or of a thread in it, decrypted. */
  event(roomId, eventId, what = "the event") {
    return until(`${this.localpart} reads ${what}`, async () => {
      const event = this.client.getRoom(roomId)?.findEventById(eventId);
      if (!event) return false;
      await this.client.decryptEventIfNeeded(event);
      return !event.isBeingDecrypted() && !event.isDecryptionFailure() && event;
    });
  }

  /** Sends text and gives its event id. */
  async say(roomId, body, threadRoot = null) {
    const sent = await this.client.sendMessage(roomId, threadRoot, { msgtype: "m.text", body });
    return sent.event_id;
  }

  /** Waits for a message and checks its text and that it came encrypted. */
  async hears(roomId, eventId, body) {
    const event = await this.event(roomId, eventId, `“${body}”`);
    if (!event.isEncrypted()) throw new Error(`“${body}” came in the clear`);
    if (event.getContent().body !== body) throw new Error(`“${body}” reads “${event.getContent().body}”`);
    return event;
  }

  /** Answers user-interactive authentication with the password. */
  uia = (request) => authenticate(request, this);

  #secretStorageKey(keys) {
    const [id] = Object.keys(keys);
    return this.recoveryKey ? [id, decodeRecoveryKey(this.recoveryKey)] : null;
  }
}
