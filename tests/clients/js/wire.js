// The requests a story has made: enough to say, after a failure, which endpoint answered what.

const KEPT = 400;
const requests = [];
const issued = [];

/** Paths without the ids in them, so that a report reads as an endpoint. */
function endpoint(url) {
  const { pathname } = new URL(url);
  return pathname
    .replace(/(%40|@)[^/]+/g, "{user}")
    .replace(/(%24|\$)[^/]+/g, "{event}")
    .replace(/(%21|!)[^/]+/g, "{room}");
}

/** `fetch`, remembering method, endpoint, status and the beginning of a refusal's body. */
export async function recordingFetch(resource, options = {}) {
  const entry = {
    method: options.method ?? "GET",
    path: endpoint(String(resource)),
    status: "no answer",
    body: "",
  };
  requests.push(entry);
  if (requests.length > KEPT) requests.shift();
  const response = await fetch(resource, options);
  entry.status = response.status;
  if (!response.ok) entry.body = (await response.clone().text()).slice(0, 200);
  if (response.ok && entry.path.endsWith("/keys/claim")) noteIssued(await response.clone().json());
  return response;
}

/** Notes the one-time keys that a claim gave; a fallback key may be given any number of times. */
function noteIssued({ one_time_keys: users }) {
  for (const [user, devices] of Object.entries(users ?? {})) {
    for (const [device, keys] of Object.entries(devices)) {
      for (const [id, key] of Object.entries(keys)) if (!key.fallback) issued.push(`${user} ${device} ${id}`);
    }
  }
}

/** Every one-time key that anybody in the story was given, in order. */
export function issuedKeys() {
  return [...issued];
}

/** A mark in the list of requests; `refusalsSince` looks from there. */
export function mark() {
  return requests.at(-1);
}

/** Requests after `from` that were refused or got no answer, each once, as lines of text. */
export function refusalsSince(from) {
  const recent = requests.slice(requests.lastIndexOf(from) + 1);
  const refused = recent.filter(({ status }) => !(status >= 200 && status < 300));
  const lines = refused.map(({ method, path, status, body }) => `${method} ${path} -> ${status} ${body}`);
  return [...new Set(lines)];
}
