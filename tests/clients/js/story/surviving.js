// The server is killed and started again while two members are away.

import { step, until, same, expect } from "../check.js";
import { kill, start } from "../server.js";

export async function surviving(cast) {
  const { alice, bob, carol, roomId } = cast;
  const missed = [];

  await step("bob and carol close their clients, alice goes on talking", async () => {
    await bob.stop();
    await carol.stop();
    for (const body of ["while bob is away", "and once more"]) missed.push([await alice.say(roomId, body), body]);
  });

  await step("the server is killed and started again", async () => {
    const before = alice.syncs;
    await kill();
    await start();
    await until("alice syncs again", () => alice.syncs > before, 60_000);
  });

  await step("alice talks on after the restart, with a new key for absent bob", async () => {
    await alice.crypto.forceDiscardSession(roomId);
    for (const body of ["after the restart", "bob is still away"]) missed.push([await alice.say(roomId, body), body]);
  });

  await step("alice invites absent carol", () => alice.client.invite(roomId, carol.userId));

  await step("bob comes back and reads everything he missed", async () => {
    await bob.start();
    const room = await bob.room(roomId);
    await until("bob's timeline reaches what was said last", () => room.findEventById(missed.at(-1)[0]));
    for (const [eventId, body] of missed) await bob.hears(roomId, eventId, body);
    const order = room.getLiveTimeline().getEvents().map((event) => event.getId());
    const places = missed.map(([eventId]) => order.indexOf(eventId));
    expect("what bob missed in its order", places.every((at, i) => i === 0 || at > places[i - 1]));
    same("copies of the last message", order.filter((id) => id === missed.at(-1)[0]).length, 1);
  });

  await step("bob still trusts alice, and they talk", async () => {
    const status = await bob.crypto.getUserVerificationStatus(alice.userId);
    expect("bob to trust alice", status.isCrossSigningVerified());
    await alice.hears(roomId, await bob.say(roomId, "I am back"), "I am back");
  });

  await step("carol comes back, finds the invitation, joins and talks", async () => {
    await carol.start();
    await carol.room(roomId, "invite");
    await carol.client.joinRoom(roomId);
    const room = await carol.encryptedRoom(roomId);
    const seen = await alice.room(roomId);
    await until("alice sees carol joined", () => seen.getMember(carol.userId)?.membership === "join");
    await until("carol's history reaches back to the first message", async () => {
      if (room.findEventById(cast.hello)) return true;
      await carol.client.scrollback(room, 30);
      return false;
    });
    await carol.hears(roomId, cast.hello, "hello bob");
    const said = await alice.say(roomId, "welcome carol");
    await carol.hears(roomId, said, "welcome carol");
    const answer = await carol.say(roomId, "thank you");
    await bob.hears(roomId, answer, "thank you");
  });

  await step("history from before the kill is served", async () => {
    const event = await alice.client.fetchRoomEvent(roomId, cast.hello);
    same("type", event.type, "m.room.encrypted");
    const backup = await alice.client.http.authedRequest("GET", "/room_keys/version");
    expect("the key backup", backup.count > 0);
  });
}
