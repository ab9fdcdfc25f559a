// Service worker: authenticated media, as Element Web's own does. The page tells it its token and server.

const OLD = /^\/_matrix\/media\/v3\/(download|thumbnail)\//;
let session = null;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("message", (event) => (session = event.data));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (!session || url.origin !== session.server) return;
  const modern = url.pathname.replace(OLD, "/_matrix/client/v1/media/$1/");
  if (!modern.startsWith("/_matrix/client/v1/media/")) return;
  url.pathname = modern;
  event.respondWith(fetch(url, { headers: { Authorization: `Bearer ${session.token}` } }));
});
