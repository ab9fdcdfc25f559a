// Every operation of the client-server API over plain HTTP: what it answers when all is well, and its usual refusals.
// Prints each answer that was another than expected; exit code 1 when there was one.

import { administrator, register, result } from "./client.js";
import { accounts } from "./story/accounts.js";
import { discovery } from "./story/discovery.js";
import { keys } from "./story/keys.js";
import { media } from "./story/media.js";
import { people } from "./story/people.js";
import { push } from "./story/push.js";
import { rooms } from "./story/rooms.js";
import { timeline } from "./story/timeline.js";

const cast = { admin: await administrator("admin") };
for (const name of ["alice", "bob", "carol"]) cast[name] = await register(name);
for (const chapter of [discovery, accounts, people, rooms, timeline, push, keys, media]) await chapter(cast);

const { asked, surprises } = result();
process.stdout.write(`${asked} answers, ${surprises.length} others than expected\n`);
for (const surprise of surprises) process.stdout.write(`  FAIL ${surprise}\n`);
process.exit(surprises.length === 0 ? 0 : 1);
