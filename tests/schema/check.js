// Checks recorded answers: `node check.js SPEC FILE...`. Exit code 1 when an answer is not as the specification says or
// an operation was never asked for.

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { Spec } from "./spec.js";

/** Events whose content the server writes, or has to understand. */
const SERVERS_OWN = new Set([
  "m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility",
  "m.room.guest_access", "m.room.name", "m.room.topic", "m.room.canonical_alias", "m.room.encryption",
  "m.room.tombstone", "m.room.redaction", "m.receipt", "m.typing", "m.presence", "m.push_rules", "m.fully_read",
  "m.tag", "m.direct", "m.ignored_user_list",
]);

const [directory, ...recordings] = process.argv.slice(2);
const spec = new Spec(directory);
const asked = new Map(spec.operations.map(({ id }) => [id, { answers: 0, good: 0 }]));
const violations = new Map();
let answers = 0;
let others = 0;
/** Answers of which nothing can be said, by method and path. */
const unknown = new Map();

for (const recording of recordings) {
  for await (const line of createInterface({ input: createReadStream(recording) })) look(JSON.parse(line));
}

function look(recorded) {
  const listed = spec.operation(recorded);
  // What names an operation stands before the ids of rooms and users.
  const operation = listed ?? { method: recorded.method, template: recorded.path.split("/").slice(0, 6).join("/") };
  const problems = listed ? spec.violations(listed, recorded) : spec.unlisted(recorded);
  if (listed) {
    answers += 1;
    const counts = asked.get(listed.id);
    counts.answers += 1;
    counts.good += Number(recorded.status < 400);
  } else {
    others += 1;
    const name = `${operation.method} ${operation.template}`;
    if (!problems) unknown.set(name, (unknown.get(name) ?? 0) + 1);
  }
  for (const problem of problems ?? []) note(operation, recorded, problem);
  for (const event of eventsIn(recorded.body)) {
    if (event.redacted) continue;
    for (const problem of spec.content(event.type, event.content)) note(operation, recorded, `${event.type}: ${problem}`);
  }
}

function note(operation, { status, body }, problem) {
  // One line for each kind of problem: places in lists and ids in paths are all the same.
  const general = problem.replace(/(^|[ /])(\d+|[@!$#][^/ ]+)(?=\/| )/g, "$1*");
  const text = `${operation.method} ${operation.template} -> ${status}: ${general}`;
  const kind = violations.get(text) ?? { count: 0, example: JSON.stringify(body ?? null).slice(0, 400) };
  kind.count += 1;
  violations.set(text, kind);
}

/** Every event in an answer whose content is the server's own. */
function* eventsIn(value) {
  if (Array.isArray(value)) {
    for (const item of value) yield* eventsIn(item);
  } else if (value !== null && typeof value === "object") {
    const isEvent = SERVERS_OWN.has(value.type) && typeof value.content === "object";
    if (isEvent) yield { ...value, redacted: value.unsigned?.redacted_because !== undefined };
    for (const item of Object.values(value)) yield* eventsIn(item);
  }
}

const say = (line) => process.stdout.write(`${line}\n`);
const named = (choose) => spec.operations.filter(({ id }) => choose(asked.get(id)));
const never = named(({ answers: count }) => count === 0);
const refused = named(({ answers: count, good }) => count > 0 && good === 0);

say(`${answers} answers of ${spec.operations.length} operations, and ${others} of others`);
say(`\noperations that were only refused: ${refused.length}`);
for (const { method, template } of refused) say(`  ${method} ${template}`);
say(`\noperations that were never asked for: ${never.length}`);
for (const { method, template, id } of never) say(`  ${method} ${template} (${id})`);
say(`\nanswers that no definition is about: ${[...unknown.values()].reduce((sum, count) => sum + count, 0)}`);
for (const [name, count] of unknown) say(`  ${count} × ${name}`);
say(`\nviolations: ${violations.size}`);
for (const [text, { count, example }] of violations) say(`  ${count} × ${text}\n      ${example}`);
process.exit(violations.size + never.length === 0 ? 0 : 1);
