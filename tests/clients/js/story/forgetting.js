// Messages live for 30 days. They expire twice: while the server is down, and while it runs.

import { step, until, same, expect, refusal } from "../check.js";
import { logIn } from "../device.js";
import { confirmClock, kill, setAhead, start } from "../server.js";
import { readAll, shown, shownThreads } from "../unread.js";

const NAMES = { story: "The story", square: "The square", board: "The board" };
const TOPIC = "where everybody meets";

export async function forgetting(cast) {
  await settling(cast);
  await step("the server is down for 32 days, and its clock is confirmed", async () => {
    await cast.tablet.stop();
    await cast.carol.stop();
    const before = cast.bob.syncs;
    await kill();
    await setAhead(32);
    await start();
    await confirmClock();
    await until("bob syncs again", () => cast.bob.syncs > before, 60_000);
  });
  await afterwards(cast, "after 32 days in which the server was down");

  await step("32 more days pass while the server runs, and its clock is confirmed", async () => {
    await cast.tablet.stop();
    await setAhead(64);
    await confirmClock();
  });
  await afterwards(cast, "after 32 days in which the server ran");
}

/** What there is before anything expires. Bob reads two of the rooms and not the third. */
async function settling(cast) {
  const { alice, bob } = cast;
  cast.rooms = { story: cast.roomId };

  await step("alice makes two rooms that are not encrypted, and bob joins", async () => {
    for (const room of ["square", "board"]) {
      const invite = [bob.userId];
      const created = await alice.client.createRoom({ name: NAMES[room], topic: TOPIC, preset: "private_chat", invite });
      cast.rooms[room] = created.room_id;
      await bob.room(created.room_id, "invite");
      await bob.client.joinRoom(created.room_id);
      await bob.room(created.room_id);
    }
    await alice.client.setRoomTopic(cast.rooms.story, TOPIC);
  });

  await step("bob's tablet logs in", async () => {
    cast.tablet = await logIn(bob.localpart, bob.password);
    cast.tablet.label = "the tablet";
    await cast.tablet.start();
    await cast.tablet.encryptedRoom(cast.rooms.story);
    await knows(alice, cast.tablet);
  });

  // Bob says nothing in the threads: in one whose events it has lost, matrix-js-sdk 43 takes a message of his own for newer
  // than every receipt.
  await step("they talk, in threads too", async () => {
    cast.roots = {};
    for (const [name, roomId] of Object.entries(cast.rooms)) {
      const root = await alice.say(roomId, "a thread begins");
      cast.roots[name] = root;
      await heard(bob, roomId, root, "a thread begins");
      await heard(alice, roomId, await bob.say(roomId, "from bob"), "from bob");
      for (const thread of [null, root]) {
        await heard(bob, roomId, await alice.say(roomId, "from alice", thread), "from alice");
      }
      await alice.client.sendEvent(roomId, "m.reaction", {
        "m.relates_to": { rel_type: "m.annotation", event_id: root, key: "👍" },
      });
    }
  });

  await step("bob reads what is in two rooms, and not what mentions him in the third", async () => {
    await leavesUnread(cast);
    for (const device of [bob, cast.tablet]) await looksUnread(device, cast.rooms.board);
  });

  await step("bob logs in afresh: two rooms are read, the third is not", async () => {
    await afresh(bob, async (device) => {
      await looksRead(device, cast.rooms.story);
      await looksRead(device, cast.rooms.square);
      await looksUnread(device, cast.rooms.board);
    });
  });
}

/** Bob has read two rooms; in the third alice mentions him, in the room and in its thread. */
async function leavesUnread({ alice, bob, rooms, roots }) {
  for (const roomId of [rooms.story, rooms.square]) {
    await readAll(bob, roomId);
    await looksRead(bob, roomId);
  }
  for (const thread of [roots.board, null]) {
    const mentions = { user_ids: [bob.userId] };
    const content = { msgtype: "m.text", body: "bob, come", "m.mentions": mentions };
    const { event_id } = await alice.client.sendMessage(rooms.board, thread, content);
    await heard(bob, rooms.board, event_id, "bob, come");
  }
}

/** What clients show when everything has expired, and that all goes on from there. */
async function afterwards(cast, when) {
  const { alice, bob, tablet, rooms } = cast;

  await step(`${when}, bob's app that stayed open counts nothing, and what it holds can be read`, () => holds(bob, cast));

  await step(`${when}, bob's tablet, closed all the time, comes back and does the same`, async () => {
    await tablet.start();
    await holds(tablet, cast);
  });

  await step(`${when}, bob logs in afresh: nothing is unread, and all of every room is there but its messages`, () =>
    afresh(bob, async (device) => {
      for (const [name, roomId] of Object.entries(rooms)) {
        await isEmpty(device, roomId, { name: NAMES[name], root: cast.roots[name], alice });
        await looksRead(device, roomId);
      }
    }),
  );

  await step(`${when}, what nobody calls a message leaves the rooms read`, async () => {
    await afresh(bob, async (fresh) => {
      await alice.client.setDisplayName(`Alice ${when}`);
      for (const roomId of Object.values(rooms)) {
        for (const device of [bob, tablet, fresh]) {
          const room = await device.room(roomId);
          await until("alice's new name", () => room.getMember(alice.userId)?.rawDisplayName === `Alice ${when}`);
          await looksRead(device, roomId);
        }
      }
    });
    await afresh(bob, async (fresh) => {
      for (const roomId of Object.values(rooms)) await looksRead(fresh, roomId);
    });
  });

  await step(`${when}, they talk on, new messages are unread, and reading them ends it`, async () => {
    for (const device of [alice, bob, tablet]) await device.crypto.forceDiscardSession(rooms.story);
    await afresh(bob, async (device) => {
      await knows(alice, device);
      for (const roomId of Object.values(rooms)) {
        const said = await alice.say(roomId, `new ${when}`);
        for (const one of [bob, tablet, device]) {
          await heard(one, roomId, said, `new ${when}`);
          await looksUnread(one, roomId, ["read"]);
        }
        await readAll(device, roomId);
        for (const one of [bob, tablet, device]) await looksRead(one, roomId);
        await heard(alice, roomId, await bob.say(roomId, "I hear you"), "I hear you");
      }
    });
  });

  await step(`${when}, alice goes on in threads whose beginnings are gone, and bob reads them`, async () => {
    for (const [name, roomId] of Object.entries(rooms)) {
      const said = await alice.say(roomId, `more ${when}`, cast.roots[name]);
      for (const one of [bob, tablet]) await heard(one, roomId, said, `more ${when}`);
      await afresh(bob, (device) => looksUnread(device, roomId, ["read", "activity", "notification"]));
      await readAll(bob, roomId);
      for (const one of [bob, tablet]) await looksRead(one, roomId);
      await afresh(bob, (device) => looksRead(device, roomId));
    }
  });

  await step(`${when}, bob leaves a room unread again`, async () => {
    await leavesUnread(cast);
    for (const device of [bob, tablet]) await looksUnread(device, rooms.board);
  });
}

/** What was read is read; of what was not, a client may still hold what the server has not, until somebody looks at it. */
async function holds(device, { rooms }) {
  for (const roomId of [rooms.story, rooms.square]) await looksRead(device, roomId);
  const board = await device.room(rooms.board);
  const counted = () => [shown(board), shownThreads(board)].some((state) => state !== "read" && state !== "activity");
  await until("nothing to be counted", () => !counted());
  if (board.timeline.length > 0) await readAll(device, rooms.board);
  await looksRead(device, rooms.board);
}

/** Runs `look` on a device of the same person that logs in for it and out again. */
async function afresh(person, look) {
  const device = await logIn(person.localpart, person.password);
  device.label = "a fresh device";
  try {
    await device.start();
    await look(device);
  } finally {
    device.client.stopClient();
    await device.client.logout();
  }
}

async function knows(person, device) {
  await until(`${person.localpart} knows the new device`, async () => {
    const devices = await person.crypto.getUserDeviceInfo([device.userId], true);
    return devices.get(device.userId)?.has(device.deviceId);
  });
}

/** Waits for a message, decrypted where the room is encrypted. */
async function heard(device, roomId, eventId, body) {
  if (await device.crypto.isEncryptionEnabledInRoom(roomId)) return device.hears(roomId, eventId, body);
  const event = await device.event(roomId, eventId, `“${body}”`);
  same("the text", event.getContent().body, body);
}

async function looksRead(device, roomId) {
  const room = await device.room(roomId);
  const states = () => `${shown(room)}, threads ${shownThreads(room)}`;
  await until(`“${room.name}” is read`, () => states() === "read, threads read").catch((error) => {
    throw new Error(`${error.message} on ${device.label ?? "the app"}; it shows ${states()}`);
  });
}

/** The room is unread, and so are its threads unless they may be otherwise. */
async function looksUnread(device, roomId, threads = ["highlight", "notification"]) {
  const room = await device.room(roomId);
  const states = () => [shown(room), shownThreads(room)];
  const isUnread = ([of, ofThreads]) => (of !== "read" || ofThreads !== "read") && threads.includes(ofThreads);
  await until(`“${room.name}” is unread`, () => isUnread(states())).catch((error) => {
    throw new Error(`${error.message} on ${device.label ?? "the app"}; it shows ${states()}`);
  });
}

/** Nothing is in the room's timeline, which ends without an error; everything else of the room is there. */
async function isEmpty(device, roomId, { name, root, alice }) {
  const room = await device.room(roomId);
  same("its name", room.name, name);
  same("its topic", room.currentState.getStateEvents("m.room.topic", "").getContent().topic, TOPIC);
  await room.loadMembersIfNeeded();
  same("its members", room.getJoinedMembers().length, 2);
  const [hers, his] = [alice.userId, device.userId].map((user) => room.getMember(user).powerLevel);
  expect("alice to have more power than bob", hers > his);
  for (let page = 0; room.oldState.paginationToken !== null; page += 1) {
    expect("an end of its timeline", page < 10);
    await device.client.scrollback(room, 30);
  }
  const left = room.getLiveTimeline().getEvents().map((event) => event.getType());
  same("its timeline", left.join(", "), "");
  same("its threads", room.getThreads().length, 0);
  const gone = await refusal("the beginning of the thread", () => device.client.fetchRoomEvent(roomId, root));
  same("status of an expired event", gone.httpStatus, 404);
  const marker = room.getAccountData("m.fully_read")?.getContent().event_id;
  if (marker) await device.client.fetchRoomEvent(roomId, marker);
}
