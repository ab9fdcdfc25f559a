// Leaving and coming back; logging out.

import { step, until, same, expect, refusal } from "../check.js";

export async function parting(cast) {
  const { alice, bob, roomId } = cast;
  let unheard;

  await step("bob leaves, alice sees it and goes on", async () => {
    await bob.client.leave(roomId);
    await bob.room(roomId, "leave");
    const room = await alice.room(roomId);
    await until("alice sees bob gone", () => room.getMember(bob.userId)?.membership === "leave");
    unheard = await alice.say(roomId, "said while bob was gone");
  });

  await step("bob can neither read nor write while he is gone", async () => {
    const read = await refusal("reading", () => bob.client.fetchRoomEvent(roomId, unheard));
    expect(`403 or 404 for reading, not ${read.httpStatus}`, [403, 404].includes(read.httpStatus));
    const written = await refusal("writing", () =>
      bob.client.http.authedRequest("PUT", `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/gone`, undefined, {
        msgtype: "m.text",
        body: "still here",
      }),
    );
    same("status for writing", written.httpStatus, 403);
  });

  await step("bob is invited again, rejoins, and they talk", async () => {
    await alice.client.invite(roomId, bob.userId);
    await bob.room(roomId, "invite");
    await bob.client.joinRoom(roomId);
    await bob.encryptedRoom(roomId);
    const seen = await alice.room(roomId);
    await until("alice sees bob back", () => seen.getMember(bob.userId)?.membership === "join");
    await bob.hears(roomId, await alice.say(roomId, "welcome back"), "welcome back");
    await alice.hears(roomId, await bob.say(roomId, "good to be back"), "good to be back");
  });

  await step("what was said while bob was gone came with the invitation", async () => {
    const room = await bob.room(roomId);
    await until("bob's history reaches back to it", async () => {
      if (room.findEventById(unheard)) return true;
      await bob.client.scrollback(room, 30);
      return false;
    });
    await bob.hears(roomId, unheard, "said while bob was gone");
  });

  await step("a device is deleted and logged out at once", async () => {
    const { second } = cast;
    await alice.uia((auth) => alice.client.deleteMultipleDevices([second.deviceId], auth ?? undefined));
    const error = await refusal("a request with its token", () => second.client.whoami());
    same("status", error.httpStatus, 401);
    same("code", error.errcode, "M_UNKNOWN_TOKEN");
    second.client.stopClient();
  });

  for (const name of ["carol", "bob", "alice"]) {
    await step(`${name} logs out and the token is dead`, async () => {
      const { client } = cast[name];
      await client.logout(true);
      const error = await refusal("a request with the old token", () => client.whoami());
      same("code", error.errcode, "M_UNKNOWN_TOKEN");
    });
  }
}
