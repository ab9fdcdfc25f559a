// The specification's definitions: which operations there are, and what their answers look like.

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import Ajv from "ajv/dist/2020.js";
import { parse } from "yaml";
import { PATHS as SLIDING_PATHS, SCHEMA as SLIDING } from "./sliding.js";

const METHODS = ["get", "put", "post", "delete"];
const CLIENT_SERVER = "api/client-server";
const ERROR = `spec:/${CLIENT_SERVER}/definitions/errors/error.yaml`;
const RATE_LIMITED = `spec:/${CLIENT_SERVER}/definitions/errors/rate_limited.yaml`;
const SLIDING_SYNC = "spec:/sliding";
const INTERACTIVE = `spec:/${CLIENT_SERVER}/definitions/auth_response.yaml`;

/** What a string of a format looks like; numbers' formats are about their size, which JSON does not have. */
const FORMATS = {
  "mx-user-id": /^@[^:]*:.+$/,
  "mx-event-id": /^\$.+$/,
  "mx-room-id": /^!.+$/,
  "mx-room-alias": /^#[^:]*:.+$/,
  "mx-server-name": /^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(:[0-9]{1,5})?$/,
  "mx-mxc-uri": /^mxc:\/\/[^/]+\/[0-9A-Za-z_-]+$/,
  "mx-unpadded-base64": /^[0-9A-Za-z+/]*$/,
  "mx-urlsafe-unpadded-base64": /^[0-9A-Za-z_-]*$/,
  uri: (text) => URL.canParse(text),
  email: /^[^@]+@[^@]+$/,
  int64: true,
  float: true,
};

/** Operations that share method and path with another, and what tells them from it. */
const SECOND = {
  inviteBy3PID: ({ asked }) => asked.includes("medium"),
  peekEvents: ({ query }) => query.includes("room_id"),
};

/**
 * Fields of an answer in which null says that there is nothing: clients look for them in any case, and so does the Matrix
 * project's suite, while the definitions know only fields that are left out.
 */
const NULLABLE = { getJoinedMembersByRoom: { within: "joined", fields: ["avatar_url"] } };

/** Answers that are an empty object where a server has nothing of the kind, and what it is read as. */
const NOTHING = { getTurnServer: { username: "", password: "", uris: [], ttl: 0 } };

export class Spec {
  constructor(directory) {
    this.documents = new Map();
    this.ajv = new Ajv({ strict: false, allErrors: true, validateSchema: false, formats: FORMATS });
    for (const file of files(directory)) {
      const url = `spec:/${relative(directory, file)}`;
      const document = parse(readFileSync(file, "utf8"));
      if (document === null || typeof document !== "object") continue;
      mend(document);
      this.documents.set(url, document);
      if (!url.includes("/examples/")) this.ajv.addSchema(document, url);
    }
    this.ajv.addSchema(SLIDING, SLIDING_SYNC);
    this.operations = [...this.documents].flatMap(([url, document]) =>
      url.startsWith(`spec:/${CLIENT_SERVER}/`) && document.paths ? this.#operationsOf(url, document) : [],
    );
    if (this.operations.length === 0) throw new Error(`no operations under ${directory}`);
  }

  #operationsOf(url, document) {
    const base = document.servers[0].variables.basePath.default;
    const found = [];
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of METHODS.filter((method) => method in methods)) {
        // Two operations at one path are told apart by a space behind it.
        const template = `${base}${path}`.trim();
        const { operationId } = methods[method];
        found.push({ id: operationId, method: method.toUpperCase(), template, url, at: ["paths", path, method] });
      }
    }
    return found;
  }

  /** Every example of an answer in JSON. */
  *examples() {
    for (const operation of this.operations) {
      const responses = this.#resolve(operation.url, [...operation.at, "responses"]);
      for (const status of Object.keys(responses.node)) {
        const at = [...responses.at, status, "content", "application/json", "examples"];
        for (const name of Object.keys(this.#resolve(responses.url, at)?.node ?? {})) {
          const example = this.#resolve(responses.url, [...at, name, "value"]);
          if (example) yield { operation, status: Number(status), value: this.#inlined(example.url, example.node) };
        }
      }
    }
  }

  /** The operation that a recorded request is one of, if any. */
  operation(recorded) {
    const named = this.operations.filter(
      ({ method, template }) => method === recorded.method && matches(template, recorded.path),
    );
    const literal = ({ template }) => template.split("/").filter((part) => !part.startsWith("{")).length;
    const most = Math.max(...named.map(literal));
    const best = named.filter((one) => literal(one) === most);
    return best.find(({ id }) => SECOND[id]?.(recorded)) ?? best.find(({ id }) => !(id in SECOND));
  }

  /** What is wrong with a recorded answer of an operation, as lines of text. */
  violations(operation, recorded) {
    const { status, body, broken } = recorded;
    if (broken) return ["the body is not JSON"];
    const listed = this.#resolve(operation.url, [...operation.at, "responses", String(status)]);
    if (status >= 400) return this.#refused(listed, status, body);
    if (!listed) return [`status ${status} is not among the operation's responses`];
    return [...this.#headers(listed, recorded.headers), ...this.#content(listed, filled(operation, recorded))];
  }

  /**
   * What is wrong with an answer of no operation of the specification, as far as it can be said: an error, and an answer
   * of sliding sync. Nothing for others.
   */
  unlisted({ method, path, status, body, broken }) {
    if (broken) return ["the body is not JSON"];
    if (status >= 400) return this.#refused(undefined, status, body);
    return method === "POST" && SLIDING_PATHS.includes(path) ? this.#check(SLIDING_SYNC, body) : undefined;
  }

  /** An error is a standard one, or asks for authentication; what is listed for its status holds as well. */
  #refused(listed, status, body) {
    const asks = status === 401 && body?.flows;
    const problems = this.#check(asks ? INTERACTIVE : status === 429 ? RATE_LIMITED : ERROR, body);
    const schema = listed && this.#resolve(listed.url, [...listed.at, "content", "application/json", "schema"]);
    if (schema) problems.push(...this.#check(reference(schema), body));
    return [...new Set(problems)];
  }

  #headers(listed, headers) {
    const problems = [];
    for (const name of Object.keys(listed.node.headers ?? {})) {
      const header = this.#resolve(listed.url, [...listed.at, "headers", name]);
      const value = headers[name.toLowerCase()];
      if (value === undefined) {
        if (header.node.required) problems.push(`header ${name} is missing`);
        continue;
      }
      const schema = reference({ url: header.url, at: [...header.at, "schema"] });
      problems.push(...this.#check(schema, value.split(";")[0]).map((problem) => `header ${name}: ${problem}`));
    }
    return problems;
  }

  #content(listed, { headers, body }) {
    const types = Object.keys(listed.node.content ?? {});
    if (types.length === 0) return [];
    if (!types.includes("application/json")) return body === undefined ? [] : ["JSON where something else belongs"];
    if (body === undefined) return [`content type ${headers["content-type"]} instead of JSON`];
    const schema = this.#resolve(listed.url, [...listed.at, "content", "application/json", "schema"]);
    return schema ? this.#check(reference(schema), body) : [];
  }

  /** What is wrong with the content of an event, by the schema of its type. */
  content(type, content) {
    const url = `spec:/event-schemas/schema/${type}.yaml`;
    const schema = this.#resolve(url, ["properties", "content"]);
    return schema ? this.#check(reference(schema), content) : [];
  }

  #check(url, value) {
    const validate = this.ajv.getSchema(url) ?? this.ajv.compile({ $ref: url });
    if (validate(value)) return [];
    return validate.errors.map((error) => `${pathOf(error.instancePath)} ${error.message}${detail(error)}`);
  }

  /** A value with what its references lead to in their places; what stands beside a reference wins. */
  #inlined(url, value) {
    if (Array.isArray(value)) return value.map((item) => this.#inlined(url, item));
    if (value === null || typeof value !== "object") return value;
    const { $ref, ...own } = value;
    const there = $ref ? follow(url, $ref) : undefined;
    const found = there ? this.#resolve(there.url, there.at) : undefined;
    const entries = Object.entries(own).map(([key, item]) => [key, this.#inlined(url, item)]);
    return { ...(found ? this.#inlined(found.url, found.node) : {}), ...Object.fromEntries(entries) };
  }

  /** The definition at a place, after following references. */
  #resolve(url, at) {
    let node = this.documents.get(url);
    const walked = [];
    for (const [index, key] of at.entries()) {
      if (node?.$ref) {
        const next = follow(url, node.$ref);
        return this.#resolve(next.url, [...next.at, ...at.slice(index)]);
      }
      node = node?.[key];
      if (node === undefined) return undefined;
      walked.push(key);
    }
    if (node.$ref && Object.keys(node).length === 1) {
      const next = follow(url, node.$ref);
      return this.#resolve(next.url, next.at);
    }
    return { url, at: walked, node };
  }
}

/**
 * Makes `oneOf` say what is meant where an alternative is any object at all: with the others, which are objects too, two
 * would match, and never one.
 */
function mend(value) {
  if (value === null || typeof value !== "object") return;
  if (Array.isArray(value.oneOf) && value.oneOf.some((one) => one.type === "object" && Object.keys(one).length === 1)) {
    value.anyOf = value.oneOf;
    delete value.oneOf;
  }
  Object.values(value).forEach(mend);
}

/** The recorded answer without the fields that may be null and are, and with those that stand for nothing. */
function filled({ id }, recorded) {
  if (id in NOTHING && recorded.status === 200 && JSON.stringify(recorded.body) === "{}") {
    return { ...recorded, body: NOTHING[id] };
  }
  const { within, fields } = NULLABLE[id] ?? {};
  const items = Object.entries(recorded.body?.[within] ?? {});
  if (items.length === 0) return recorded;
  const empty = ([field, value]) => value === null && fields.includes(field);
  const kept = (item) => Object.fromEntries(Object.entries(item).filter((entry) => !empty(entry)));
  const told = Object.fromEntries(items.map(([key, item]) => [key, kept(item)]));
  return { ...recorded, body: { ...recorded.body, [within]: told } };
}

function follow(from, to) {
  const [file, pointer = ""] = to.split("#");
  const url = file === "" ? from : new URL(file, from).href;
  const at = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return { url, at };
}

function reference({ url, at }) {
  const parts = at.map((part) => encodeURIComponent(String(part).replaceAll("~", "~0").replaceAll("/", "~1")));
  return parts.length === 0 ? url : `${url}#/${parts.join("/")}`;
}

function* files(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (/\.(yaml|json)$/.test(entry.name)) yield path;
  }
}

/** Whether a path is one of a template; the last parameter may be empty, and its slash missing with it. */
function matches(template, path) {
  const parts = template.replace(/\/$/, "").split("/");
  const has = path.replace(/\/$/, "").split("/");
  if (parts.at(-1) === "{stateKey}" && has.length === parts.length - 1) has.push("");
  return has.length === parts.length && parts.every((part, index) => part.startsWith("{") || part === has[index]);
}

function pathOf(pointer) {
  return pointer === "" ? "the body" : pointer.slice(1).replaceAll("~1", "/");
}

function detail({ keyword, params }) {
  if (keyword === "additionalProperties") return `: ${params.additionalProperty}`;
  return keyword === "enum" ? `: ${params.allowedValues.join(", ")}` : "";
}
