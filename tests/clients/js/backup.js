// Secret storage under a recovery key, and a key backup.

import { expect, until } from "./check.js";

/** Sets both up on `device`, which remembers the recovery key. */
export async function secureBackup(device) {
  const { crypto, client } = device;
  const key = await crypto.createRecoveryKeyFromPassphrase();
  device.recoveryKey = key.encodedPrivateKey;
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: async () => key,
    setupNewSecretStorage: true,
    setupNewKeyBackup: true,
  });
  await until("secret storage is ready", () => crypto.isSecretStorageReady());
  await until("the backup is in use", () => crypto.getActiveSessionBackupVersion());
  expect("a default secret storage key", await client.secretStorage.getDefaultKeyId());
}
