//! Rooms over HTTP: made, entered, written, read, left, found.

mod admit;
mod create;
mod directory;
mod history;
mod membership;
mod older;
mod peeking;
mod read;
mod relations;
mod send;
mod upgrade;

use serde_json::{Value, json};

use crate::server::{Answer, Client, encode};

/// `rest` under the room.
pub(crate) fn at(room: &str, rest: &str) -> String {
    format!("rooms/{}/{rest}", encode(room))
}

/// A room of `client` as `body` asks.
pub(crate) async fn create(client: &Client, body: &Value) -> String {
    let made = client.post("createRoom", body).await.ok();
    made["room_id"].as_str().expect("an id").to_owned()
}

/// A room of the first with all the others in it.
pub(crate) async fn room_of(clients: &[&Client]) -> String {
    let (first, others) = clients.split_first().expect("somebody");
    let room = create(first, &json!({})).await;
    for other in others {
        bring(first, other, &room).await;
    }
    room
}

/// Invites and joins.
pub(crate) async fn bring(by: &Client, who: &Client, room: &str) {
    by.post(&at(room, "invite"), &json!({"user_id": who.user_id})).await.ok();
    who.post(&at(room, "join"), &json!({})).await.ok();
}

/// Sends an event; its id.
pub(crate) async fn put(client: &Client, room: &str, kind: &str, txn: &str, content: &Value) -> String {
    let sent = client.put(&at(room, &format!("send/{kind}/{txn}")), content).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

/// Says something; the event's id. The text names the transaction.
pub(crate) async fn say(client: &Client, room: &str, text: &str) -> String {
    put(client, room, "m.room.message", &encode(text), &json!({"msgtype": "m.text", "body": text})).await
}

/// `/messages` with this query.
pub(crate) async fn messages(client: &Client, room: &str, query: &str) -> Value {
    client.get(&at(room, &format!("messages?{query}"))).await.ok()
}

/// What was said in a list of events.
pub(crate) fn said(chunk: &Value) -> Vec<&str> {
    chunk.as_array().expect("a list").iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

/// One event.
pub(crate) async fn event(client: &Client, room: &str, id: &str) -> Answer {
    client.get(&at(room, &format!("event/{}", encode(id)))).await
}
