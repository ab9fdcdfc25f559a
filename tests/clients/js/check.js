// Steps, and waiting for what they expect.

import { mark, refusalsSince } from "./wire.js";

const WAIT_MS = Number(process.env.CLIENTS_WAIT_MS ?? 30_000);
const LOOK_EVERY_MS = 25;

const say = (line) => process.stdout.write(`${line}\n`);

let passed = 0;
const failed = [];

/** Runs one step of the story and says how it went; a failure does not stop the story. */
export async function step(name, action) {
  const from = mark();
  const started = Date.now();
  try {
    await action();
    passed += 1;
    say(`ok   ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    failed.push(name);
    say(`FAIL ${name} (${Date.now() - started} ms)\n       ${describe(error)}`);
    for (const line of refusalsSince(from)) say(`       ${line}`);
  }
}

/** Prints the totals; true when nothing failed. */
export function summary() {
  say(`\n${passed} ok, ${failed.length} failed`);
  for (const name of failed) say(`  FAIL ${name}`);
  return failed.length === 0;
}

/** The first truthy value of `look`, within the time limit; `what` names it in the failure. */
export async function until(what, look, limit = WAIT_MS) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Fails with `what` unless the two are the same. */
export function same(what, actual, expected) {
  if (actual !== expected) throw new Error(`${what}: expected ${expected}, got ${actual}`);
}

/** Fails with `what` unless `value` is truthy; gives the value back. */
export function expect(what, value) {
  if (!value) throw new Error(`expected: ${what}`);
  return value;
}

/** The error an action ends with; fails when it succeeds. */
export async function refusal(what, action) {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error(`expected a refusal: ${what}`);
}

function describe(error) {
  const line = error?.stack?.split("\n").find((text) => text.includes("story/")) ?? "";
  return `${error?.message ?? error}${line ? `\n       ${line.trim()}` : ""}`;
}
