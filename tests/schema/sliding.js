// What an answer of simplified sliding sync (MSC4186) looks like: the specification does not have the operation yet, but it
// has everything that such an answer is made of. Names are those of the unstable path and of the final form.

const SYNC = "spec:/api/client-server/sync.yaml#/paths/~1sync/get/responses/200/content/application~1json/schema/properties";
const EVENT = "spec:/event-schemas/schema/core-event-schema/event.yaml";
const STRIPPED = "spec:/event-schemas/schema/core-event-schema/stripped_state.yaml";
const CLIENT_EVENT = "spec:/api/client-server/definitions/client_event_without_room_id.yaml";

const COUNT = { type: "integer", minimum: 0 };
const TEXT = { type: "string", minLength: 1 };
const FLAG = { type: "boolean" };
const OR_NOTHING = { type: ["string", "null"] };
const USER_ID = { type: "string", format: "mx-user-id" };
const ROOM_ID = { format: "mx-room-id" };
const list = (items) => ({ type: "array", items });
const map = (additionalProperties, propertyNames) => ({ type: "object", additionalProperties, propertyNames });
/** An object with these fields and no others. */
const record = (required, properties) => ({ type: "object", required, properties, additionalProperties: false });

const EVENTS = list({ $ref: CLIENT_EVENT });
const STATE = list({ $ref: CLIENT_EVENT, required: ["state_key"] });
const STRIPPED_STATE = list({ $ref: STRIPPED });
const MESSAGE = { $ref: EVENT, required: ["type", "sender", "content"], properties: { sender: { format: "mx-user-id" } } };
const THREADS = map(map(record(["bump_stamp"], { automatic: FLAG, bump_stamp: COUNT })), ROOM_ID);

const ROOM = record([], {
  name: OR_NOTHING,
  avatar: { anyOf: [{ type: "null" }, { type: "string", format: "mx-mxc-uri" }] },
  heroes: list(record(["user_id"], {
    user_id: USER_ID,
    displayname: TEXT,
    avatar_url: { type: "string", format: "mx-mxc-uri" },
  })),
  is_dm: FLAG,
  initial: FLAG,
  required_state: STATE,
  timeline: EVENTS,
  timeline_events: EVENTS,
  unstable_expanded_timeline: FLAG,
  expanded_timeline: FLAG,
  invite_state: STRIPPED_STATE,
  stripped_state: STRIPPED_STATE,
  prev_batch: TEXT,
  limited: FLAG,
  num_live: COUNT,
  joined_count: COUNT,
  invited_count: COUNT,
  notification_count: COUNT,
  highlight_count: COUNT,
  bump_stamp: COUNT,
  membership: { enum: ["join", "invite", "knock", "leave", "ban"] },
  lists: list(TEXT),
});

const EXTENSIONS = record([], {
  to_device: record(["next_batch", "events"], { next_batch: TEXT, events: list(MESSAGE) }),
  e2ee: record([], {
    device_lists: record([], { changed: list(USER_ID), left: list(USER_ID) }),
    device_one_time_keys_count: { $ref: `${SYNC}/device_one_time_keys_count` },
    device_unused_fallback_key_types: list(TEXT),
  }),
  account_data: record(["global", "rooms"], { global: list({ $ref: EVENT }), rooms: map(list({ $ref: EVENT }), ROOM_ID) }),
  receipts: record(["rooms"], { rooms: map({ $ref: EVENT }, ROOM_ID) }),
  typing: record(["rooms"], { rooms: map({ $ref: EVENT }, ROOM_ID) }),
  "io.element.msc4308.thread_subscriptions": record([], { subscribed: THREADS, unsubscribed: THREADS, prev_batch: TEXT }),
  "org.matrix.msc4262.profiles": { type: "object" },
});

/** The paths of the operation. */
export const PATHS = ["/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", "/_matrix/client/v4/sync"];

/** The schema of its answer. */
export const SCHEMA = record(["pos", "lists", "rooms", "extensions"], {
  pos: TEXT,
  txn_id: TEXT,
  lists: map(record(["count"], { count: COUNT })),
  rooms: map(ROOM, ROOM_ID),
  extensions: EXTENSIONS,
});
