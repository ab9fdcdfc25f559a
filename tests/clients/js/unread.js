// Element Web's rule for what its room list and its list of threads show as unread.

import { EventType, MsgType, NotificationCountType, ReceiptType, RelationType } from "matrix-js-sdk";

/** Events that Element draws in a timeline. */
const MESSAGES = new Set([
  EventType.RoomMessage,
  EventType.Sticker,
  "m.poll.start",
  "org.matrix.msc3381.poll.start",
  "m.poll.end",
  "org.matrix.msc3381.poll.end",
  EventType.CallInvite,
]);
/** State that it draws there and takes for news. Members, aliases and server lists are drawn and are none. */
const STATE = new Set([
  EventType.RoomEncryption,
  EventType.RoomName,
  EventType.RoomAvatar,
  EventType.RoomHistoryVisibility,
  EventType.RoomTopic,
  EventType.RoomPowerLevels,
  EventType.RoomPinnedEvents,
  EventType.RoomTombstone,
  EventType.RoomJoinRules,
  EventType.RoomGuestAccess,
]);

/** How the room stands in the list: "read", "activity" (a dot), "notification" (a number) or "highlight" (a red one). */
export function shown(room) {
  if (room.getMyMembership() === "invite") return "highlight";
  if (isMuted(room)) return "read";
  if (room.getRoomUnreadNotificationCount(NotificationCountType.Highlight) > 0) return "highlight";
  if (room.getRoomUnreadNotificationCount(NotificationCountType.Total) > 0) return "notification";
  if (isMarkedUnread(room)) return "notification";
  return hasUnread(room, room.timeline) ? "activity" : "read";
}

/** How the room's threads stand in the list of threads. */
export function shownThreads(room) {
  if (isMuted(room)) return "read";
  const worst = room.threadsAggregateNotificationType;
  if (worst === NotificationCountType.Highlight) return "highlight";
  if (worst === NotificationCountType.Total) return "notification";
  return room.getThreads().some((thread) => hasUnread(room, thread.timeline)) ? "activity" : "read";
}

/** The newest event that matters decides; where none does, whether the oldest one has been read. */
function hasUnread(room, timeline) {
  if (room.isSpaceRoom()) return false;
  const me = room.client.getSafeUserId();
  const asked = timeline.findLast((event) => matters(event, me)) ?? timeline[0];
  return asked !== undefined && !room.hasUserReadEvent(me, asked.getId());
}

function matters(event, me) {
  if (event.getSender() === me || event.isRedacted() || event.isRelation(RelationType.Replace)) return false;
  const { msgtype, to } = event.getContent();
  if (msgtype === MsgType.KeyVerificationRequest) return to === me;
  return event.isState() ? STATE.has(event.getType()) && event.getStateKey() === "" : MESSAGES.has(event.getType());
}

function isMuted(room) {
  const rules = room.client.pushRules?.global?.override ?? [];
  return rules.some(({ enabled, conditions, actions }) => {
    const [only] = conditions ?? [];
    const ofRoom = conditions?.length === 1 && only.kind === "event_match" && only.key === "room_id";
    return enabled && ofRoom && only.pattern === room.roomId && actions.every((action) => action === "dont_notify");
  });
}

function isMarkedUnread(room) {
  const mark = room.getAccountData("m.marked_unread") ?? room.getAccountData("com.famedly.marked_unread");
  return mark?.getContent().unread === true;
}

/** Reads a room and its threads to their ends, as somebody does who looks at them in Element. */
export async function readAll(device, roomId) {
  const room = await device.room(roomId);
  const me = device.userId;
  for (const thread of room.getThreads()) {
    const last = thread.timeline.findLast((event) => event.getSender() !== me);
    if (last) await device.client.sendReadReceipt(last, ReceiptType.Read);
  }
  const last = room.timeline.findLast((event) => event.getSender() !== me);
  await device.client.sendReadReceipt(last, ReceiptType.Read);
  await device.client.setRoomReadMarkers(roomId, room.timeline.at(-1).getId());
}
