// Ways into rooms and ways to find them: knocking, restricted rooms, spaces, the directory, upgrades.

import { KnownMembership } from "matrix-js-sdk";
import { step, until, same, expect, refusal } from "../check.js";

export async function gathering(cast) {
  const { alice, bob, carol } = cast;
  const rules = (content) => ({ type: "m.room.join_rules", state_key: "", content });
  const create = async (options) => (await alice.client.createRoom(options)).room_id;

  await step("bob knocks, alice sees it and lets him in", async () => {
    const room = await create({ name: "Behind a door", initial_state: [rules({ join_rule: "knock" })] });
    await bob.client.knockRoom(room, { reason: "of the story" });
    await bob.room(room, KnownMembership.Knock);
    const seen = await alice.room(room);
    await until("alice sees bob knock", () => seen.getMember(bob.userId)?.membership === KnownMembership.Knock);
    await alice.client.invite(room, bob.userId);
    await bob.room(room, KnownMembership.Invite);
    await bob.client.joinRoom(room);
    await bob.room(room);
  });

  await step("a space, whose members may enter its restricted room", async () => {
    const space = await create({ name: "The space", creation_content: { type: "m.space" }, preset: "private_chat" });
    const allow = [{ type: "m.room_membership", room_id: space }];
    const room = await create({ name: "Inside", initial_state: [rules({ join_rule: "restricted", allow })] });
    await alice.client.sendStateEvent(space, "m.space.child", { via: ["localhost"], suggested: true }, room);
    const error = await refusal("joining from outside the space", () => bob.client.joinRoom(room));
    same("status", error.httpStatus, 403);
    await alice.client.invite(space, bob.userId);
    await bob.room(space, KnownMembership.Invite);
    await bob.client.joinRoom(space);
    const { rooms } = await bob.client.getRoomHierarchy(space, 10);
    same("rooms in the tree", rooms.map(({ name }) => name).sort().join(), "Inside,The space");
    await bob.client.joinRoom(room);
    await bob.room(room);
  });

  await step("a public room is found in the directory and by its alias", async () => {
    const name = `story-${Date.now().toString(36)}`;
    const room = await create({ name, visibility: "public", preset: "public_chat", room_alias_name: name });
    const { chunk } = await bob.client.publicRooms({ filter: { generic_search_term: name } });
    same("what is found", chunk.map(({ room_id: id }) => id).join(), room);
    const { room_id: led } = await bob.client.getRoomIdForAlias(`#${name}:${bob.userId.split(":")[1]}`);
    same("where the alias leads", led, room);
    await carol.client.joinRoom(`#${name}:${bob.userId.split(":")[1]}`);
    await carol.room(room);
    cast.publicRoom = room;
  });

  await step("a room is upgraded, and its members find the new one", async () => {
    const { replacement_room: next } = await alice.client.upgradeRoom(cast.publicRoom, "12");
    const old = await carol.room(cast.publicRoom);
    const tombstone = () => old.currentState.getStateEvents("m.room.tombstone", "")?.getContent().replacement_room;
    await until("carol sees where it went", () => tombstone() === next);
    await carol.client.joinRoom(next);
    const room = await carol.room(next);
    await until("the predecessor is known", () => room.findPredecessor()?.roomId === cast.publicRoom);
    expect("another room", next !== cast.publicRoom);
  });
}
