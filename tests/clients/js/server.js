// The homeserver under test: where it is, and how it is killed and started again.

import { exec } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(exec);

function need(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run this story through ../run`);
  return value;
}

/** The base URL the clients are given. */
export const url = need("HOMESERVER_URL");

/** The registration token, where the server asks for one. */
export const registrationToken = process.env.HOMESERVER_TOKEN;

/** Ends the server as a power cut does: SIGKILL, nothing said. */
export async function kill() {
  await run(need("HOMESERVER_KILL"));
}

/** Makes a backup of the running server. */
export async function backUp() {
  await run(need("HOMESERVER_BACKUP"));
}

/** Puts the backup in place of what the server, which is down, has. */
export async function restore() {
  await run(need("HOMESERVER_RESTORE"));
}

/** Starts it again on the same data and returns when it answers. */
export async function start() {
  await run(need("HOMESERVER_START"));
}

/** Sets the server's clock so many days ahead of everybody else's; it need not run. */
export async function setAhead(days) {
  await run(`${need("HOMESERVER_CLOCK")} ${days}`);
}

/** Says that the server's clock is right, as an administrator does, and returns when nothing that has expired is left. */
export async function confirmClock() {
  await run(need("HOMESERVER_CONFIRM"));
}
