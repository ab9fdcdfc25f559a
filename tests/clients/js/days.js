// The story of a room whose messages have all expired: people talk and read, more time passes than messages live, and what
// clients show of it afterwards. The server's clock is moved by days, its own alone. Exit code 1 when any step failed.

import "./platform.js";

const { summary } = await import("./check.js");
const { beginning } = await import("./story/beginning.js");
const { forgetting } = await import("./story/forgetting.js");

const cast = {};
for (const chapter of [beginning, forgetting]) await chapter(cast);
process.exit(summary() ? 0 : 1);
