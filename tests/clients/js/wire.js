// The requests a story has made: enough to say, after a failure, which endpoint answered what.

const KEPT = 400;
const requests = [];

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
  return response;
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
