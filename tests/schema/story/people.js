// Profiles, presence, the directory of people, account data.

import { ask, seg } from "../client.js";

export async function people({ alice, bob }) {
  const profile = `profile/${seg(alice.user)}`;
  await alice.put(`${profile}/displayname`, { displayname: "Alice" });
  await alice.put(`${profile}/avatar_url`, { avatar_url: "mxc://localhost/x" });
  await alice.put(`${profile}/org.example.pronouns`, { "org.example.pronouns": ["she", "her"] });
  await alice.put(`${profile}/m.tz`, { "m.tz": "Europe/London" });
  for (const field of ["", "/displayname", "/avatar_url", "/org.example.pronouns"]) await bob.get(profile + field);
  await bob.get(`${profile}/org.example.none`, "404 M_NOT_FOUND");
  await bob.get(`profile/${seg("@nobody:localhost")}`, "404 M_NOT_FOUND");
  await bob.put(`${profile}/displayname`, { displayname: "x" }, "403 M_FORBIDDEN");
  await alice.put(`${profile}/displayname`, {}, "400 M_MISSING_PARAM");
  const long = "x".repeat(300);
  await alice.put(`${profile}/${long}`, { [long]: 1 }, "400 M_KEY_TOO_LARGE");
  await alice.put(`${profile}/org.example.big`, { "org.example.big": "x".repeat(70_000) }, "400 M_PROFILE_TOO_LARGE");
  await alice.delete(`${profile}/m.tz`);
  await bob.delete(`${profile}/displayname`, "403 M_FORBIDDEN");

  const presence = `presence/${seg(alice.user)}/status`;
  await alice.put(presence, { presence: "online", status_msg: "here" });
  await alice.get(presence);
  await bob.put(presence, { presence: "online" }, "403 M_FORBIDDEN");
  await alice.put(presence, { presence: "elsewhere" }, "400 M_INVALID_PARAM");

  await bob.post("user_directory/search", { search_term: "ali", limit: 5 });
  await bob.post("user_directory/search", {}, "400 M_MISSING_PARAM");

  const data = `user/${seg(alice.user)}/account_data`;
  await alice.put(`${data}/org.example.data`, { a: 1 });
  await alice.get(`${data}/org.example.data`);
  await alice.get(`${data}/org.example.none`, "404 M_NOT_FOUND");
  await bob.get(`${data}/org.example.data`, "403 M_FORBIDDEN");
  await bob.put(`${data}/org.example.data`, {}, "403 M_FORBIDDEN");
  await alice.put(`${data}/m.push_rules`, {}, "405 M_BAD_JSON");
  await ask("PUT", `${data}/org.example.data`, { auth: alice.token, raw: true, body: "{", is: "400 M_NOT_JSON" });

  const filter = { room: { timeline: { limit: 5 }, state: { lazy_load_members: true } }, event_fields: ["content"] };
  const { filter_id: id } = await alice.post(`user/${seg(alice.user)}/filter`, filter);
  await alice.get(`user/${seg(alice.user)}/filter/${seg(id)}`);
  await alice.get(`user/${seg(alice.user)}/filter/none`, "404 M_NOT_FOUND");
  await alice.post(`user/${seg(alice.user)}/filter`, { room: 5 }, "400 M_BAD_JSON");
  await bob.get(`user/${seg(alice.user)}/filter/${seg(id)}`, "403 M_FORBIDDEN");

  await bob.post(`users/${seg(alice.user)}/report`, { reason: "of the story" });
  await bob.post(`users/${seg("@nobody:localhost")}/report`, { reason: "of the story" }, "404 M_NOT_FOUND");
}
