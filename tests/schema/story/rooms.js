// Rooms: making them, who is in them, their state, names and directory.

import { fresh, seg } from "../client.js";

export async function rooms(cast) {
  const { alice, bob, carol } = cast;
  await making(cast);
  await membership(cast);
  await knocking(cast);
  await state(cast);
  await names(cast);
  await spaces(cast);
  const own = `user/${seg(alice.user)}/rooms/${seg(cast.room)}`;
  await alice.put(`${own}/tags/u.work`, { order: 0.5 });
  await alice.get(`${own}/tags`);
  await alice.delete(`${own}/tags/u.work`);
  await alice.put(`${own}/account_data/org.example.data`, { a: 1 });
  await alice.get(`${own}/account_data/org.example.data`);
  await alice.get(`${own}/account_data/org.example.none`, "404 M_NOT_FOUND");
  await bob.get(`${own}/account_data/org.example.data`, "403 M_FORBIDDEN");
  await bob.put(`${own}/account_data/org.example.data`, {}, "403 M_FORBIDDEN");
  await alice.put(`${own}/account_data/m.fully_read`, {}, "405 M_BAD_JSON");
  await carol.get(`/_matrix/client/v1/mutual_rooms?user_id=${seg(alice.user)}`);
  await carol.get(`/_matrix/client/v1/mutual_rooms?user_id=${seg(carol.user)}`, "400 M_INVALID_PARAM");
  await alice.post(`rooms/${seg(cast.room)}/report`, { reason: "of the story" });
  await carol.post(`rooms/${seg(cast.room)}/report`, { reason: "of the story" }, "404 M_NOT_FOUND");
  await carol.post("rooms/!none:localhost/report", { reason: "of the story" }, "404 M_NOT_FOUND");
  await upgrade(cast);
}

async function making(cast) {
  const { alice } = cast;
  const made = await alice.post("createRoom", { name: "A room", topic: "of the story", preset: "private_chat" });
  cast.room = made.room_id;
  const published = { visibility: "public", preset: "public_chat", room_alias_name: fresh("public"), name: "Public" };
  cast.public = (await alice.post("createRoom", published)).room_id;
  await alice.post("createRoom", published, "400 M_ROOM_IN_USE");
  await alice.post("createRoom", { room_version: "none" }, "400 M_UNSUPPORTED_ROOM_VERSION");
  await alice.post("createRoom", { preset: 5 }, "400 M_BAD_JSON");
  const state = [{ type: "m.room.power_levels", state_key: "", content: { ban: "high" } }];
  await alice.post("createRoom", { initial_state: state }, "400 M_INVALID_ROOM_STATE");
  await alice.get("joined_rooms");
}

async function membership({ alice, bob, carol, room, public: open }) {
  const path = `rooms/${seg(room)}`;
  await alice.post(`${path}/invite`, { user_id: bob.user, reason: "of the story" });
  await carol.post(`${path}/invite`, { user_id: bob.user }, "403 M_FORBIDDEN");
  await alice.post(`${path}/invite`, {}, "400 M_BAD_JSON");
  const email = { medium: "email", address: "a@example.org", id_server: "x", id_access_token: "y" };
  await alice.post(`${path}/invite`, email, "403 M_THREEPID_DENIED");
  await bob.sync();
  await bob.post(`${path}/join`, { reason: "of the story" });
  await carol.post(`${path}/join`, {}, "403 M_FORBIDDEN");
  await carol.post(`join/${seg("#none:localhost")}`, {}, "404 M_NOT_FOUND");
  for (const somebody of [bob, carol]) await somebody.post(`join/${seg(open)}`);
  await bob.get(`${path}/members`);
  await bob.get(`${path}/members?not_membership=leave`);
  await bob.get(`${path}/joined_members`);
  for (const part of ["members", "joined_members"]) await carol.get(`${path}/${part}`, "403 M_FORBIDDEN");

  const other = `rooms/${seg(open)}`;
  await alice.post(`${other}/kick`, { user_id: carol.user, reason: "of the story" });
  await bob.post(`${other}/kick`, { user_id: alice.user }, "403 M_FORBIDDEN");
  await alice.post(`${other}/ban`, { user_id: carol.user });
  await bob.post(`${other}/ban`, { user_id: alice.user }, "403 M_FORBIDDEN");
  await carol.post(`join/${seg(open)}`, {}, "403 M_FORBIDDEN");
  await carol.sync();
  await bob.post(`${other}/unban`, { user_id: carol.user }, "403 M_FORBIDDEN");
  await alice.post(`${other}/unban`, { user_id: carol.user });
  await carol.post(`join/${seg(open)}`);
  await carol.post(`${other}/forget`, {}, "400 M_UNKNOWN");
  await carol.post(`${other}/leave`, { reason: "of the story" });
  await carol.sync();
  await carol.post(`${other}/forget`);
  await carol.post(`join/${seg(open)}`);
}

async function knocking({ alice, bob }) {
  const rules = [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }];
  const { room_id: room } = await alice.post("createRoom", { initial_state: rules });
  await bob.post(`knock/${seg(room)}`, { reason: "of the story" });
  await bob.sync();
  await alice.sync();
  await alice.post(`rooms/${seg(room)}/invite`, { user_id: bob.user });
  await bob.post(`rooms/${seg(room)}/join`);
  const { room_id: closed } = await alice.post("createRoom", { preset: "private_chat" });
  await bob.post(`knock/${seg(closed)}`, {}, "403 M_FORBIDDEN");
  await bob.post(`knock/${seg("#none:localhost")}`, {}, "404 M_NOT_FOUND");
}

async function state({ alice, bob, carol, room }) {
  const path = `rooms/${seg(room)}/state`;
  await bob.get(path);
  await carol.get(path, "403 M_FORBIDDEN");
  for (const type of ["name", "create", "power_levels", "join_rules"]) await bob.get(`${path}/m.room.${type}/`);
  await bob.get(`${path}/m.room.name`);
  await bob.get(`${path}/m.room.member/${seg(alice.user)}`);
  await bob.get(`${path}/m.room.create/?format=event`);
  await bob.get(`${path}/org.example.none/x`, "404 M_NOT_FOUND");
  await carol.get(`${path}/m.room.name`, "403 M_FORBIDDEN");
  await alice.put(`${path}/org.example.state/key`, { a: 1 });
  await alice.put(`${path}/m.room.topic/`, { topic: "another" });
  await bob.put(`${path}/m.room.name`, { name: "x" }, "403 M_FORBIDDEN");
  await alice.put(`${path}/m.room.canonical_alias/`, { alias: "#none:localhost" }, "400 M_BAD_ALIAS");
  await alice.ask("PUT", `${path}/org.example.state/`, { body: "{", raw: true, is: "400 M_NOT_JSON" });
}

async function names({ alice, bob, carol, room, public: open }) {
  const alias = `#${fresh("alias")}:localhost`;
  const path = `directory/room/${seg(alias)}`;
  await alice.get(path, "404 M_NOT_FOUND");
  await alice.put(path, { room_id: room });
  await alice.put(path, { room_id: room }, "409 M_UNKNOWN");
  await alice.put("directory/room/none", { room_id: room }, "400 M_INVALID_PARAM");
  await bob.get(path);
  await bob.get(`rooms/${seg(room)}/aliases`);
  await carol.get(`rooms/${seg(room)}/aliases`, "403 M_FORBIDDEN");
  await alice.put(`rooms/${seg(room)}/state/m.room.canonical_alias/`, { alias });
  await bob.delete(path, "403 M_FORBIDDEN");
  await alice.delete(path);
  await alice.delete(path, "404 M_NOT_FOUND");

  const listed = `directory/list/room/${seg(room)}`;
  await alice.get(listed);
  await alice.get("directory/list/room/!none:localhost");
  await alice.put(listed, { visibility: "public" });
  await alice.put(listed, { visibility: "private" });
  await bob.put(listed, { visibility: "public" }, "403 M_FORBIDDEN");
  await alice.put("directory/list/room/!none:localhost", { visibility: "public" }, "403 M_FORBIDDEN");
  await bob.get("publicRooms?limit=1");
  const found = await bob.post("publicRooms", { limit: 1, filter: { generic_search_term: "pub" } });
  if (found.next_batch) await bob.post("publicRooms", { limit: 1, since: found.next_batch });
  await bob.get("publicRooms?server=elsewhere.invalid", "502 M_CONNECTION_FAILED");
  await bob.get(`/_matrix/client/v1/room_summary/${seg(open)}`);
  await carol.get(`/_matrix/client/v1/room_summary/${seg(room)}`, "404 M_NOT_FOUND");
}

async function spaces({ alice, bob, room, public: open }) {
  const type = { creation_content: { type: "m.space" }, name: "A space", preset: "public_chat" };
  const { room_id: space } = await alice.post("createRoom", type);
  for (const child of [room, open]) {
    await alice.put(`rooms/${seg(space)}/state/m.space.child/${seg(child)}`, { via: ["localhost"], suggested: true });
  }
  const path = `/_matrix/client/v1/rooms/${seg(space)}/hierarchy`;
  const page = await alice.get(`${path}?limit=1`);
  if (page.next_batch) await alice.get(`${path}?limit=1&from=${seg(page.next_batch)}`);
  await bob.get(`${path}?suggested_only=true&max_depth=1`);
  await bob.get(`${path}?from=none`, "400 M_INVALID_PARAM");
  await bob.get("/_matrix/client/v1/rooms/!none:localhost/hierarchy", "403 M_FORBIDDEN");
}

async function upgrade({ alice, bob }) {
  const { room_id: old } = await alice.post("createRoom", { preset: "public_chat", room_version: "11" });
  await bob.post(`join/${seg(old)}`);
  await bob.post(`rooms/${seg(old)}/upgrade`, { new_version: "12" }, "403 M_FORBIDDEN");
  await alice.post(`rooms/${seg(old)}/upgrade`, { new_version: "none" }, "400 M_UNSUPPORTED_ROOM_VERSION");
  await alice.post(`rooms/${seg(old)}/upgrade`, { new_version: "12" });
  await alice.sync();
}
