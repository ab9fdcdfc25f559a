// The story of encryption over a restored backup: people and devices as in the whole story, then a backup, a time that is
// lost, and the server set back to the backup. Exit code 1 when any step failed.

import "./platform.js";

const { summary } = await import("./check.js");
const { beginning } = await import("./story/beginning.js");
const { talking } = await import("./story/talking.js");
const { trusting } = await import("./story/trusting.js");
const { losing } = await import("./story/losing.js");
const { parting } = await import("./story/parting.js");

const cast = {};
for (const chapter of [beginning, talking, trusting, losing, parting]) await chapter(cast);
process.exit(summary() ? 0 : 1);
