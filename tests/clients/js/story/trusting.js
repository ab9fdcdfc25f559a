// Verification by emoji between two people and between two devices; history on a new device from backup.

import { step, until, same, expect } from "../check.js";
import { logIn } from "../device.js";
import { compareEmoji } from "../verify.js";

export async function trusting(cast) {
  const { alice, bob, roomId } = cast;

  await step("alice and bob verify each other", async () => {
    alice.outgoing = await alice.crypto.requestVerificationDM(bob.userId, roomId);
    await compareEmoji(alice, bob);
    await trusts(alice, bob.userId);
    await trusts(bob, alice.userId);
  });

  await step("alice's keys are all in the backup", async () => {
    const held = JSON.parse(await alice.crypto.exportRoomKeysAsJson()).length;
    await until("the server counts every key", async () => {
      const { count } = await alice.client.http.authedRequest("GET", "/room_keys/version");
      return count >= held;
    });
  });

  await step("alice's second device logs in and is verified by the first", async () => {
    const second = await logIn(alice.localpart, alice.password);
    cast.second = second;
    await second.start();
    second.outgoing = await second.crypto.requestOwnUserVerification();
    await compareEmoji(second, alice);
    await until("the second device is cross-signed", async () => {
      const status = await bob.crypto.getDeviceVerificationStatus(alice.userId, second.deviceId);
      return status?.signedByOwner;
    });
  });

  await step("the second device is given the secrets and reads history", async () => {
    const { second } = cast;
    await until("the second device can sign", () => second.crypto.isCrossSigningReady());
    await until("the second device has the backup key", () => second.crypto.getSessionBackupPrivateKey());
    await readsHistory(second, cast);
  });

  await step("bob reads what alice says on her second device", async () => {
    const said = await cast.second.say(roomId, "from my other device");
    const event = await bob.hears(roomId, said, "from my other device");
    const shield = await bob.crypto.getEncryptionInfoForEvent(event);
    same("shield", shield.shieldColour, 0);
  });

  await step("alice's third device restores the backup with the recovery key", async () => {
    const third = await logIn(alice.localpart, alice.password);
    third.recoveryKey = alice.recoveryKey;
    await third.start();
    await third.crypto.bootstrapCrossSigning({});
    expect("the third device to be cross-signed", await third.crypto.isCrossSigningReady());
    await third.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await third.crypto.checkKeyBackupAndEnable();
    const restored = await third.crypto.restoreKeyBackup();
    expect("keys in the backup", restored.total > 0);
    same("keys restored", restored.imported, restored.total);
    await readsHistory(third, cast);
    await third.client.logout(true);
  });

  await step("the third device is gone from the list", async () => {
    const { devices } = await alice.client.getDevices();
    same("devices", devices.length, 2);
  });
}

async function readsHistory(device, { roomId, hello }) {
  const room = await device.room(roomId);
  await until("the history reaches back to the first message", async () => {
    if (room.findEventById(hello)) return true;
    await device.client.scrollback(room, 30);
    return false;
  });
  await device.hears(roomId, hello, "hello bob");
}

function trusts(device, userId) {
  return until(`${device.localpart} trusts ${userId}`, async () => {
    const status = await device.crypto.getUserVerificationStatus(userId);
    return status.isCrossSigningVerified();
  });
}
