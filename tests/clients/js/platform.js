// What a browser has and Node 20 lacks: Promise.withResolvers, IndexedDB (in memory), patience.
// Imported first, because the SDK's modules look for these while they load.

// The SDK writes to the console at length and with ids in it; the story's own lines go to standard output.
if (!process.env.CLIENTS_VERBOSE) {
  for (const level of ["trace", "debug", "log", "info", "warn", "error"]) console[level] = () => {};
}

Promise.withResolvers ??= function () {
  let resolve;
  let reject;
  const promise = new this((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
};

// A request in the background that nobody waits for may fail, as after a logout. It ends Node, and no browser's page.
process.on("unhandledRejection", (error) => console.error(error));

await import("fake-indexeddb/auto");
