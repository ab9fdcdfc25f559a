// What is said in a room, and every way to read it.

import { seg } from "../client.js";

export async function timeline(cast) {
  const { alice, bob, carol, room, public: open } = cast;
  const path = `rooms/${seg(room)}`;
  let sent = 0;
  const say = async (who, body, type = "m.room.message", further) =>
    (await who.put(`${path}/send/${type}/${type}${(sent += 1)}`, { msgtype: "m.text", body, ...further })).event_id;

  await bob.sync();
  const first = await say(alice, "a message of the story");
  await alice.put(`${path}/send/m.room.message/m.room.message1`, { msgtype: "m.text", body: "again" });
  await carol.put(`${path}/send/m.room.message/x`, { msgtype: "m.text", body: "x" }, "403 M_FORBIDDEN");
  await alice.ask("PUT", `${path}/send/m.room.message/y`, { body: "[]", raw: true, is: "400 M_BAD_JSON" });
  await alice.put(`${path}/send/m.room.message/z`, { body: "x".repeat(70_000) }, "413 M_TOO_LARGE");
  const thread = { "m.relates_to": { rel_type: "m.thread", event_id: first } };
  const reply = await say(bob, "in a thread", "m.room.message", thread);
  const annotation = { "m.relates_to": { rel_type: "m.annotation", event_id: first, key: "👍" } };
  const reaction = await say(bob, undefined, "m.reaction", annotation);
  await bob.put(`${path}/send/m.reaction/again`, annotation, "400 M_DUPLICATE_ANNOTATION");
  const edit = { "m.new_content": { msgtype: "m.text", body: "edited" }, "m.relates_to": { rel_type: "m.replace", event_id: first } };
  await say(alice, "* edited", "m.room.message", edit);
  await readers(cast, path, first, reply);
  await bob.put(`${path}/redact/${seg(reaction)}/r1`, { reason: "of the story" });
  await carol.put(`${path}/redact/${seg(first)}/r2`, {}, "403 M_FORBIDDEN");
  await marks(cast, path, first, reply);
  await syncs(cast, path, first);

  const criteria = { search_categories: { room_events: { search_term: "message", event_context: { before_limit: 1 } } } };
  await alice.post("search", criteria);
  await alice.post("search", { search_categories: { room_events: {} } }, "400 M_MISSING_PARAM");
  await alice.post(`${path}/report/${seg(first)}`, { reason: "of the story", score: -100 });
  await alice.post(`${path}/report/${seg("$none")}`, { reason: "of the story" }, "404 M_NOT_FOUND");
  await carol.post(`${path}/report/${seg(first)}`, { reason: "of the story" }, "404 M_NOT_FOUND");
  await carol.post(`rooms/${seg(open)}/leave`);
  await carol.sync("&full_state=true");
}

async function readers({ bob, carol }, path, first, reply) {
  await bob.get(`${path}/event/${seg(first)}`);
  await carol.get(`${path}/event/${seg(first)}`, "404 M_NOT_FOUND");
  await bob.get(`${path}/context/${seg(reply)}?limit=4`);
  await bob.get(`${path}/context/${seg("$none")}`, "404 M_NOT_FOUND");
  const page = await bob.get(`${path}/messages?dir=b&limit=3`);
  await bob.get(`${path}/messages?dir=b&limit=100&from=${seg(page.end)}&filter=${seg('{"lazy_load_members":true}')}`);
  await bob.get(`${path}/messages?dir=f`);
  await bob.get(`${path}/messages?dir=b&from=none`, "400 M_INVALID_PARAM");
  await bob.get(`${path}/messages`, "400 M_MISSING_PARAM");
  await carol.get(`${path}/messages?dir=b`, "403 M_FORBIDDEN");
  const v1 = `/_matrix/client/v1/${path}`;
  for (const part of ["?recurse=true", "/m.thread", "/m.annotation/m.reaction?limit=1", "/m.replace?dir=f"]) {
    await bob.get(`${v1}/relations/${seg(first)}${part}`);
    await carol.get(`${v1}/relations/${seg(first)}${part}`, "403 M_FORBIDDEN");
  }
  await bob.get(`${v1}/relations/${seg("$none")}`, "404 M_NOT_FOUND");
  await bob.get(`${v1}/threads?include=participated`);
  await bob.get(`${v1}/threads?from=none`, "400 M_INVALID_PARAM");
  await carol.get(`${v1}/threads`, "403 M_FORBIDDEN");
  await bob.get(`${v1}/timestamp_to_event?ts=0&dir=f`);
  await bob.get(`${v1}/timestamp_to_event?ts=0&dir=b`, "404 M_NOT_FOUND");
  await bob.get(`${v1}/timestamp_to_event?dir=b`, "400 M_MISSING_PARAM");
}

async function marks({ alice, bob, carol }, path, first, reply) {
  await bob.post(`${path}/receipt/m.read/${seg(first)}`, { thread_id: "main" });
  await bob.post(`${path}/receipt/m.read.private/${seg(reply)}`);
  await bob.post(`${path}/receipt/m.unheard/${seg(first)}`, {}, "400 M_INVALID_PARAM");
  await carol.post(`${path}/receipt/m.read/${seg(first)}`, {}, "403 M_FORBIDDEN");
  await bob.post(`${path}/read_markers`, { "m.fully_read": first, "m.read": reply });
  await carol.post(`${path}/read_markers`, { "m.fully_read": first }, "403 M_FORBIDDEN");
  const typing = `${path}/typing/${seg(alice.user)}`;
  await alice.put(typing, { typing: true, timeout: 10_000 });
  await bob.put(typing, { typing: true, timeout: 1000 }, "403 M_FORBIDDEN");
  await alice.put(typing, {}, "400 M_MISSING_PARAM");
}

async function syncs({ alice, bob, carol, public: open }, path, first) {
  await bob.sync();
  await bob.sync(`&filter=${seg('{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":1}}}')}`);
  await bob.get("sync?full_state=true&set_presence=offline");
  await bob.get("sync?use_state_after=true");
  await bob.get("sync?filter=none", "400 M_INVALID_PARAM");
  await bob.get("sync?timeout=soon", "400 M_INVALID_PARAM");
  await bob.get("initialSync?limit=2");
  await bob.get(`${path}/initialSync?limit=2`);
  await carol.get(`${path}/initialSync`, "403 M_FORBIDDEN");
  const events = await bob.get("events?timeout=0");
  await alice.put(`${path}/send/m.room.message/new`, { msgtype: "m.text", body: "new" });
  await bob.get(`events?timeout=100&from=${seg(events.end ?? "")}`);
  await bob.get(`events?timeout=0&room_id=${seg(open)}`);
  await carol.get(`events?timeout=0&room_id=${seg(path.slice(6))}`, "403 M_FORBIDDEN");
  await bob.get(`events/${seg(first)}`);
  await carol.get(`events/${seg(first)}`, "404 M_NOT_FOUND");
}
