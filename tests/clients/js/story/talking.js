// Everyday use of a room: messages, reactions, edits, threads, redactions, receipts, typing.

import { ReceiptType } from "matrix-js-sdk";
import { step, until, same, expect } from "../check.js";

export async function talking(cast) {
  const { alice, bob, roomId } = cast;

  await step("messages both ways are decrypted", async () => {
    cast.hello = await alice.say(roomId, "hello bob");
    await bob.hears(roomId, cast.hello, "hello bob");
    const answer = await bob.say(roomId, "hello alice");
    await alice.hears(roomId, answer, "hello alice");
  });

  await step("typing is seen", async () => {
    await alice.client.sendTyping(roomId, true, 20_000);
    const room = await bob.room(roomId);
    await until("bob sees alice typing", () => room.getMember(alice.userId)?.typing);
    await alice.client.sendTyping(roomId, false, 0);
    await until("bob sees alice stop", () => !room.getMember(alice.userId)?.typing);
  });

  await step("a reaction is seen", async () => {
    await bob.client.sendEvent(roomId, "m.reaction", {
      "m.relates_to": { rel_type: "m.annotation", event_id: cast.hello, key: "👍" },
    });
    const room = await alice.room(roomId);
    await until("alice sees the reaction", () =>
      room.relations
        .getChildEventsForEvent(cast.hello, "m.annotation", "m.reaction")
        ?.getSortedAnnotationsByKey()
        ?.some(([key, events]) => key === "👍" && events.size === 1),
    );
  });

  await step("an edit is seen", async () => {
    const said = await alice.say(roomId, "first thuoght");
    await bob.hears(roomId, said, "first thuoght");
    await alice.client.sendMessage(roomId, {
      msgtype: "m.text",
      body: "* second thought",
      "m.new_content": { msgtype: "m.text", body: "second thought" },
      "m.relates_to": { rel_type: "m.replace", event_id: said },
    });
    const event = await bob.event(roomId, said);
    await until("bob reads the edit", () => event.getContent().body === "second thought");
  });

  await step("a thread is seen and counted", () => thread(cast));

  await step("a redaction is seen", async () => {
    const said = await alice.say(roomId, "soon gone");
    const event = await bob.hears(roomId, said, "soon gone");
    await alice.client.redactEvent(roomId, said, undefined, { reason: "of the story" });
    await until("bob sees it redacted", () => event.isRedacted() && !event.getContent().body);
    const served = await bob.client.fetchRoomEvent(roomId, said);
    same("content that the server still gives out", served.content.ciphertext, undefined);
  });

  await step("unread counts rise and receipts clear them", () => unread(cast));
}

async function thread({ alice, bob, roomId }) {
  const root = await alice.say(roomId, "a thread begins");
  await bob.hears(roomId, root, "a thread begins");
  const first = await alice.say(roomId, "in the thread", root);
  await bob.hears(roomId, first, "in the thread");
  const second = await bob.say(roomId, "also in the thread", root);
  await alice.hears(roomId, second, "also in the thread");

  const room = await alice.room(roomId);
  const seen = await until("alice has the thread", () => room.getThread(root));
  await until("the thread has two replies", () => seen.length === 2);
  await until("the thread's last reply is bob's", () => seen.replyToEvent?.getId() === second);

  const list = await bob.client.createThreadListMessagesRequest(roomId, null, 10, "b");
  const listed = expect("the thread in the room's list", list.chunk.find(({ event_id }) => event_id === root));
  same("replies in the server's summary", listed.unsigned["m.relations"]["m.thread"].count, 2);
}

async function unread({ alice, bob, roomId }) {
  const [mine, theirs] = [await alice.room(roomId), await bob.room(roomId)];
  const latest = () => theirs.getLiveTimeline().getEvents().at(-1);
  await bob.client.sendReadReceipt(latest(), ReceiptType.Read, true);
  await until("bob has read everything", async () => (await served(bob, roomId)) === 0);
  const readBefore = mine.getEventReadUpTo(bob.userId);

  await alice.say(roomId, "unread one");
  const two = await alice.say(roomId, "unread two");
  const event = await bob.hears(roomId, two, "unread two");
  await until("the server counts two", async () => (await served(bob, roomId)) === 2);
  await until("bob's client counts two", () => theirs.getRoomUnreadNotificationCount() === 2);

  await bob.client.setRoomReadMarkers(roomId, two, undefined, event);
  await until("a private receipt clears it", async () => (await served(bob, roomId)) === 0);
  await until("bob's client counts none", () => theirs.getRoomUnreadNotificationCount() === 0);
  await until("bob's fully-read marker", () => theirs.getAccountData("m.fully_read")?.getContent().event_id === two);

  const three = await alice.say(roomId, "unread three");
  const last = await bob.hears(roomId, three, "unread three");
  expect("the private receipt to stay private", mine.getEventReadUpTo(bob.userId) !== two);
  expect("a receipt of bob at alice's before", readBefore !== undefined);
  await bob.client.sendReadReceipt(last);
  await until("alice sees how far bob read", () => mine.getEventReadUpTo(bob.userId) === three);
}

let asked = 0;

/**
 * The room's notification count as the server gives it to a client that syncs afresh. No two requests are
 * alike, as a server may answer the same first sync from a cache (Synapse does for two minutes).
 */
async function served(device, roomId) {
  const filter = JSON.stringify({ room: { rooms: [roomId], timeline: { limit: 1 } } });
  const answer = await device.client.http.authedRequest("GET", "/sync", { filter, timeout: String((asked += 1)) });
  return answer.rooms.join[roomId].unread_notifications.notification_count;
}
