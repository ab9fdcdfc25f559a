// A backup is made, people go on talking until the next day, the server is lost and set back to the backup.

import { step, until, same, expect, refusal } from "../check.js";
import { logIn } from "../device.js";
import { backUp, confirmClock, kill, restore, setAhead, start } from "../server.js";
import { issuedKeys } from "../wire.js";

// Times are coarse, and count up within one.
const NEARLY_A_DAY_MS = 23 * 60 * 60 * 1000;

export async function losing(cast) {
  const { alice, bob, carol, second, roomId } = cast;
  let late;

  await step("alice says something, and a backup is made while the server runs", async () => {
    cast.kept = await alice.say(roomId, "in the backup");
    await bob.hears(roomId, cast.kept, "in the backup");
    await until("its key is backed up", async () => (await alice.crypto.getActiveSessionBackupVersion()) && backedUp(alice));
    await carol.stop();
    await backUp();
  });

  await step("a time that will be lost: new sessions both ways, and keys are handed out", async () => {
    for (const [from, to] of [[alice, bob], [bob, alice]]) {
      await from.crypto.forceDiscardSession(roomId);
      await to.hears(roomId, await from.say(roomId, "will be lost"), "will be lost");
    }
  });

  await step("a day passes: the server is stopped, starts on the next, and its clock is confirmed", async () => {
    await startOn(cast, () => setAhead(1));
    const { origin_server_ts } = await alice.client.fetchRoomEvent(roomId, await alice.say(roomId, "the next day"));
    const { origin_server_ts: before } = await alice.client.fetchRoomEvent(roomId, cast.kept);
    expect("a day between the two", origin_server_ts - before > NEARLY_A_DAY_MS);
  });

  await step("bob's new device logs in and reads, in the time that will be lost", async () => {
    const before = issuedKeys().length;
    late = await logIn(bob.localpart, bob.password);
    await late.start();
    await late.encryptedRoom(roomId);
    await alice.crypto.forceDiscardSession(roomId);
    await until("alice knows the new device", async () => {
      const devices = await alice.crypto.getUserDeviceInfo([bob.userId], true);
      return devices.get(bob.userId)?.has(late.deviceId);
    });
    await late.hears(roomId, await alice.say(roomId, "for both of you"), "for both of you");
    expect("keys to have been handed out", issuedKeys().length > before);
  });

  await step("the server is lost and set back to the backup, a day old, and its clock is confirmed", () =>
    startOn(cast, restore),
  );

  await step("the device that logged in since keeps its keys", async () => {
    const error = await refusal("a request with its token", () => late.client.whoami());
    same("code", error.errcode, "M_UNKNOWN_TOKEN");
    same("soft_logout", error.data.soft_logout, true);
    late.client.stopClient();
  });

  await step("alice and bob talk on, with the sessions they have", async () => {
    await bob.hears(roomId, await alice.say(roomId, "are you there"), "are you there");
    await alice.hears(roomId, await bob.say(roomId, "I am"), "I am");
  });

  await step("alice and bob talk on, with new sessions", async () => {
    for (const [from, to] of [[alice, bob], [bob, alice]]) {
      await from.crypto.forceDiscardSession(roomId);
      await to.hears(roomId, await from.say(roomId, "after the restore"), "after the restore");
    }
  });

  await step("alice's second device hears it too", async () => {
    const said = await bob.say(roomId, "to all devices");
    await second.hears(roomId, said, "to all devices");
    await alice.hears(roomId, said, "to all devices");
  });

  await step("carol, who was away all the time, comes and reads what was there", async () => {
    await carol.start();
    await alice.client.invite(roomId, carol.userId);
    await carol.room(roomId, "invite");
    await carol.client.joinRoom(roomId);
    await carol.encryptedRoom(roomId);
    await carol.hears(roomId, await alice.say(roomId, "hello carol"), "hello carol");
    await alice.hears(roomId, await carol.say(roomId, "hello alice"), "hello alice");
  });

  await step("bob's device logs in again and hears what is said", async () => {
    const again = await logIn(bob.localpart, bob.password);
    await again.start();
    await again.encryptedRoom(roomId);
    await until("alice knows it", async () => {
      const devices = await alice.crypto.getUserDeviceInfo([bob.userId], true);
      return devices.get(bob.userId)?.has(again.deviceId);
    });
    await alice.crypto.forceDiscardSession(roomId);
    await again.hears(roomId, await alice.say(roomId, "welcome back"), "welcome back");
    await again.client.logout(true);
  });

  await step("everything in the server's history can be read by whoever could read it before", async () => {
    for (const device of [alice, bob]) {
      const room = await device.room(roomId);
      const encrypted = room.getLiveTimeline().getEvents().filter((event) => event.isEncrypted() && !event.isRedacted());
      for (const event of encrypted) await device.client.decryptEventIfNeeded(event);
      same("messages that cannot be decrypted", encrypted.filter((event) => event.isDecryptionFailure()).length, 0);
    }
    const served = await bob.client.fetchRoomEvent(roomId, cast.kept);
    same("type", served.type, "m.room.encrypted");
  });

  await step("the key backup is whole again: a new device reads what was before and what came after", async () => {
    await until("every key is backed up", () => backedUp(alice));
    const third = await logIn(alice.localpart, alice.password);
    third.recoveryKey = alice.recoveryKey;
    await third.start();
    // As Element does first: without the public keys the private ones are not taken.
    expect("alice's public keys", await third.crypto.userHasCrossSigningKeys(alice.userId, true));
    await third.crypto.bootstrapCrossSigning({});
    await third.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await third.crypto.checkKeyBackupAndEnable();
    const { total, imported } = await third.crypto.restoreKeyBackup();
    same("keys restored", imported, total);
    const room = await third.room(roomId);
    await until("the history reaches back to the backup", async () => {
      if (room.findEventById(cast.kept)) return true;
      await third.client.scrollback(room, 30);
      return false;
    });
    await third.hears(roomId, cast.kept, "in the backup");
    await third.client.logout(true);
  });

  await step("no one-time key was handed out twice", () => {
    const issued = issuedKeys();
    expect("keys to have been handed out", issued.length > 0);
    same("keys handed out twice", issued.length - new Set(issued).size, 0);
  });
}

/** Does something to the server while it is down, and starts it again. */
async function startOn({ alice, bob }, change) {
  const before = [alice.syncs, bob.syncs];
  await kill();
  await change();
  await start();
  await confirmClock();
  await until("alice and bob sync again", () => alice.syncs > before[0] && bob.syncs > before[1], 60_000);
}

/** Whether the server counts every key that a device holds. */
async function backedUp(device) {
  const held = JSON.parse(await device.crypto.exportRoomKeysAsJson()).length;
  const { count } = await device.client.http.authedRequest("GET", "/room_keys/version");
  return count >= held;
}
