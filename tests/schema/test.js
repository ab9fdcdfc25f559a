// Whether the checker sees what it is there to see: the specification's own examples pass, and broken ones do not.

import assert from "node:assert/strict";
import test from "node:test";
import { Spec } from "./spec.js";

const spec = new Spec(process.env.SPEC);

const answer = (method, path, status, body, headers = {}) => {
  const recorded = { method, path, query: [], asked: [], status, body, headers };
  return spec.violations(spec.operation(recorded), recorded);
};

test("the specification's examples are as it says", () => {
  const odd = [];
  let count = 0;
  for (const { operation, status, value } of spec.examples()) {
    count += 1;
    const headers = { "content-type": "application/json" };
    const problems = spec.violations(operation, { status, body: value, headers });
    if (problems.length > 0) odd.push(`${operation.id} ${status}: ${problems[0]}`);
  }
  assert.ok(count > 200, `${count} examples`);
  assert.deepEqual(odd, []);
});

test("operations are told apart", () => {
  const id = (method, path, query = [], asked = []) => spec.operation({ method, path, query, asked })?.id;
  assert.equal(id("GET", "/_matrix/client/v3/profile/%40a%3Ab/displayname"), "getProfileField");
  assert.equal(id("GET", "/_matrix/client/v3/pushrules/"), "getPushRules");
  assert.equal(id("GET", "/_matrix/client/v3/rooms/!a/state/m.room.name"), "getRoomStateWithKey");
  assert.equal(id("GET", "/_matrix/client/v3/rooms/!a/state"), "getRoomState");
  assert.equal(id("POST", "/_matrix/client/v3/rooms/!a/invite", [], ["user_id"]), "inviteUser");
  assert.equal(id("POST", "/_matrix/client/v3/rooms/!a/invite", [], ["medium"]), "inviteBy3PID");
  assert.equal(id("GET", "/_matrix/client/v3/events", ["room_id"]), "peekEvents");
  assert.equal(id("GET", "/_matrix/client/v3/events", ["from"]), "getEvents");
  assert.equal(id("GET", "/_matrix/client/unstable/x"), undefined);
});

test("what is not as it says is seen", () => {
  const whoami = (status, body) => answer("GET", "/_matrix/client/v3/account/whoami", status, body);
  assert.deepEqual(whoami(200, { user_id: "@a:b" }), []);
  assert.notDeepEqual(whoami(200, {}), []);
  assert.notDeepEqual(whoami(200, { user_id: "a" }), []);
  assert.notDeepEqual(whoami(200, { user_id: "@a:b", device_id: null }), []);
  assert.notDeepEqual(whoami(202, { user_id: "@a:b" }), []);
  assert.deepEqual(whoami(401, { errcode: "M_UNKNOWN_TOKEN", error: "x" }), []);
  assert.notDeepEqual(whoami(401, { error: "x" }), []);
  assert.notDeepEqual(whoami(401, { errcode: "M_UNKNOWN_TOKEN", error: 5 }), []);
  assert.notDeepEqual(whoami(401, undefined), []);
  assert.notDeepEqual(whoami(429, { errcode: "M_LIMIT_EXCEEDED", error: "x", retry_after_ms: "1" }), []);
  const member = (fields) => answer("GET", "/_matrix/client/v3/rooms/!a/joined_members", 200, { joined: { "@a:b": fields } });
  assert.deepEqual(member({ display_name: "", avatar_url: null }), []);
  assert.notDeepEqual(member({ display_name: null, avatar_url: null }), []);
  assert.notDeepEqual(member({ avatar_url: "" }), []);
  const turn = (body) => answer("GET", "/_matrix/client/v3/voip/turnServer", 200, body);
  assert.deepEqual(turn({}), []);
  assert.notDeepEqual(turn({ uris: [] }), []);
  const download = (headers) => answer("GET", "/_matrix/client/v1/media/download/a/b", 200, undefined, headers);
  assert.deepEqual(download({ "content-type": "text/plain", "content-disposition": "inline" }), []);
  assert.notDeepEqual(download({ "content-type": "text/plain" }), []);
  assert.deepEqual(spec.content("m.room.member", { membership: "join" }), []);
  assert.notDeepEqual(spec.content("m.room.member", { membership: "elsewhere" }), []);
});

test("answers of sliding sync and errors of other operations are looked at", () => {
  const event = { event_id: "$a", type: "m.room.name", state_key: "", sender: "@a:b", origin_server_ts: 1, content: {} };
  const room = { initial: true, membership: "join", required_state: [event], timeline: [event], bump_stamp: 1, avatar: null };
  const told = (rooms, extensions = {}) => {
    const body = { pos: "1", lists: { all: { count: 1 } }, rooms, extensions };
    return spec.unlisted({ method: "POST", path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", status: 200, body });
  };
  const message = { type: "m.dummy", sender: "@a:b", content: {} };
  const e2ee = { device_lists: { changed: ["@a:b"], left: [] }, device_one_time_keys_count: { signed_curve25519: 50 } };
  assert.deepEqual(told({ "!a": room }, { to_device: { next_batch: "1", events: [message] }, e2ee }), []);
  const bare = { "!a": { membership: "invite", invite_state: [{ type: "m.room.name", state_key: "", sender: "@a:b", content: {} }] } };
  assert.deepEqual(told(bare), []);
  for (const broken of [
    { a: room },
    { "!a": { ...room, membership: "joined" } },
    { "!a": { ...room, timeline: [{ ...event, event_id: undefined }] } },
    { "!a": { ...room, timeline: [{ ...event, sender: "a" }] } },
    { "!a": { ...room, required_state: [{ ...event, state_key: undefined }] } },
    { "!a": { ...room, invite_state: [{ type: "m.room.name" }] } },
    { "!a": { ...room, avatar: "a" } },
    { "!a": { ...room, unknown: 1 } },
  ]) {
    // As it comes from the wire, without what is undefined.
    assert.notDeepEqual(told(JSON.parse(JSON.stringify(broken))), [], JSON.stringify(broken));
  }
  for (const broken of [
    { to_device: { next_batch: 1, events: [] } },
    { to_device: { next_batch: "1", events: [{ type: "m.dummy", content: {} }] } },
    { e2ee: { device_lists: { changed: ["a"] } } },
    { e2ee: { device_one_time_keys_count: { signed_curve25519: "50" } } },
    { account_data: { global: [{ type: "m.direct" }], rooms: {} } },
    { receipts: { rooms: { "!a": { type: "m.receipt" } } } },
  ]) {
    assert.notDeepEqual(told({}, broken), [], JSON.stringify(broken));
  }
  const other = (status, body) => spec.unlisted({ method: "GET", path: "/_matrix/client/unstable/x", status, body });
  assert.equal(other(200, {}), undefined);
  assert.deepEqual(other(404, { errcode: "M_UNRECOGNIZED", error: "x" }), []);
  assert.notDeepEqual(other(404, { error: "x" }), []);
  assert.notDeepEqual(other(500, undefined), []);
});
