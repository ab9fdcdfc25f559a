// Accounts, cross-signing, secret storage and key backup, an encrypted room with two people in it.

import { step, until, same, expect } from "../check.js";
import { secureBackup } from "../backup.js";
import { register } from "../device.js";

const PASSWORD = "wombat lantern quartz 7 drizzle envoy";

export async function beginning(cast) {
  const suffix = Date.now().toString(36);

  for (const name of ["alice", "bob", "carol"]) {
    await step(`${name} registers and syncs`, async () => {
      cast[name] = await register(`${name}-${suffix}`, `${PASSWORD} ${name}`);
      await cast[name].start();
    });
  }

  for (const name of ["alice", "bob", "carol"]) {
    await step(`${name} sets up cross-signing`, async () => {
      const { crypto, uia } = cast[name];
      await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: uia });
      await until("cross-signing is ready", () => crypto.isCrossSigningReady());
    });
  }

  await step("alice sets up secret storage and key backup", () => secureBackup(cast.alice));

  await step("alice sets her display name", async () => {
    await cast.alice.client.setDisplayName("Alice of the story");
    const profile = await cast.bob.client.getProfileInfo(cast.alice.userId);
    same("display name", profile.displayname, "Alice of the story");
  });

  await step("alice creates an encrypted room", async () => {
    const { client } = cast.alice;
    const created = await client.createRoom({
      name: "The story",
      preset: "private_chat",
      initial_state: [
        { type: "m.room.guest_access", state_key: "", content: { guest_access: "can_join" } },
        { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
      ],
    });
    cast.roomId = created.room_id;
    const room = await cast.alice.room(cast.roomId);
    await until("the room has its name", () => room.name === "The story");
    expect("the room to be encrypted", await cast.alice.crypto.isEncryptionEnabledInRoom(cast.roomId));
  });

  await step("alice invites bob, bob sees by whom and joins", async () => {
    await cast.alice.client.invite(cast.roomId, cast.bob.userId);
    const invited = await cast.bob.room(cast.roomId, "invite");
    same("the invited room's name", invited.name, "The story");
    same("the inviter", invited.getDMInviter() ?? invited.getMember(cast.bob.userId).events.member.getSender(), cast.alice.userId);
    await cast.bob.client.joinRoom(cast.roomId);
    await cast.bob.encryptedRoom(cast.roomId);
    const seen = await cast.alice.room(cast.roomId);
    await until("alice sees bob joined", () => seen.getMember(cast.bob.userId)?.membership === "join");
  });
}
