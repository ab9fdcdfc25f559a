// Push rules, pushers, notifications.

import { seg } from "../client.js";

export async function push({ alice, bob, room }) {
  await alice.get("pushrules/");
  await alice.get("pushrules/global/");
  const rule = `pushrules/global/content/${seg("of the story")}`;
  await alice.put(rule, { pattern: "story*", actions: ["notify", { set_tweak: "highlight" }] });
  await alice.put(`pushrules/global/room/${seg(room)}?before=none`, { actions: [] }, "400 M_UNKNOWN");
  await alice.put("pushrules/global/content/.m.x", { pattern: "x", actions: [] }, "400 M_INVALID_PARAM");
  await alice.put("pushrules/global/unheard/x", { actions: [] }, "400 M_INVALID_PARAM");
  await alice.put("pushrules/global/override/x", { conditions: [{ kind: "event_match" }], actions: [] }, "400 M_MISSING_PARAM");
  for (const part of ["", "/enabled", "/actions"]) await alice.get(rule + part);
  await alice.put(`${rule}/enabled`, { enabled: false });
  await alice.put(`${rule}/actions`, { actions: [] });
  await alice.delete(rule);
  for (const part of ["", "/enabled", "/actions"]) await alice.get(rule + part, "404 M_NOT_FOUND");
  await alice.delete(rule, "404 M_NOT_FOUND");
  await alice.put(`${rule}/enabled`, { enabled: false }, "404 M_NOT_FOUND");
  await alice.put(`${rule}/actions`, { actions: [] }, "404 M_NOT_FOUND");

  const pusher = {
    app_display_name: "Story",
    app_id: "org.example.story",
    data: { url: "https://push.invalid/_matrix/push/v1/notify", format: "event_id_only" },
    device_display_name: "a device",
    kind: "http",
    lang: "en",
    profile_tag: "x",
    pushkey: "key",
  };
  await alice.post("pushers/set", pusher);
  await alice.get("pushers");
  await alice.post("pushers/set", { ...pusher, data: { url: "not an address" } }, "400 M_INVALID_PARAM");
  await alice.post("pushers/set", { kind: "http", app_id: "x" }, "400 M_MISSING_PARAM");
  await alice.post("pushers/set", { ...pusher, kind: null });
  await alice.get("pushers");

  await bob.get("notifications?limit=3");
  await bob.get("notifications?only=highlight");
}
