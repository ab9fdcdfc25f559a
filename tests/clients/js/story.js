// One story, from registration to logout, with a power cut in the middle. Every step is run; a failed
// step is reported with the refusals it met and the story goes on. Exit code 1 when any step failed.

import "./platform.js";

const { summary } = await import("./check.js");
const { beginning } = await import("./story/beginning.js");
const { talking } = await import("./story/talking.js");
const { trusting } = await import("./story/trusting.js");
const { showing } = await import("./story/showing.js");
const { gathering } = await import("./story/gathering.js");
const { surviving } = await import("./story/surviving.js");
const { parting } = await import("./story/parting.js");

const cast = {};
for (const chapter of [beginning, talking, trusting, showing, gathering, surviving, parting]) await chapter(cast);
process.exit(summary() ? 0 : 1);
