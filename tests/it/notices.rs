//! What the operator has to say.

use serde_json::{Value, json};

use crate::{
    accounts::{administer, administrator},
    rooms::at,
    server::{Answer, Client, TestServer, encode},
};

const ON: &str = "[server_notices]\nlocalpart = \"notices\"\n";
const PATH: &str = "/_synapse/admin/v1/send_server_notice";

async fn notice(root: &Client, to: &Client, text: &str) -> Answer {
    let body = json!({"user_id": to.user_id, "content": {"msgtype": "m.text", "body": text}});
    root.post(PATH, &body).await
}

async fn invitations(client: &Client) -> Vec<String> {
    let answer = client.get("sync").await.ok();
    answer["rooms"]["invite"].as_object().map(|rooms| rooms.keys().cloned().collect()).unwrap_or_default()
}

async fn said(client: &Client, room: &str) -> Vec<Value> {
    let shown = client.get(&at(room, "messages?dir=b&limit=50")).await.ok();
    let events = shown["chunk"].as_array().expect("a list");
    events
        .iter()
        .filter(|event| event["type"] == "m.room.message")
        .map(|event| event["content"]["body"].clone())
        .collect()
}

#[tokio::test]
async fn a_notice_reaches_its_user_in_a_room_that_is_his_alone() {
    let mut server = TestServer::open_with(ON).await;
    let root = administrator(&server, "root").await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    notice(&al, &bo, "from nobody").await.refused(403, "M_FORBIDDEN");
    notice(&root, &al, "maintenance tonight").await.ok();
    let rooms = invitations(&al).await;
    let [room] = &*rooms else { panic!("one room: {rooms:?}") };
    assert_eq!(invitations(&bo).await, Vec::<String>::new());
    let tags = format!("user/{}/rooms/{}/tags", encode(&al.user_id), encode(room));
    assert_eq!(al.get(&tags).await.ok()["tags"], json!({"m.server_notice": {}}));
    // The invitation cannot be turned down, and nothing said in the room.
    al.post(&at(room, "leave"), &json!({})).await.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
    al.post(&at(room, "join"), &json!({})).await.ok();
    assert_eq!(said(&al, room).await, ["maintenance tonight"]);
    let answer = json!({"msgtype": "m.text", "body": "why?"});
    al.put(&at(room, "send/m.room.message/1"), &answer).await.refused(403, "M_FORBIDDEN");
    al.post(&at(room, "invite"), &json!({"user_id": bo.user_id})).await.refused(403, "M_FORBIDDEN");

    // The next one comes in the same room, after a restart too, once its user has come.
    server.restart().await;
    root.get("sync").await.ok();
    assert_eq!(notice(&root, &al, "done").await.status, 503);
    al.get("sync").await.ok();
    let request = lethe::admin::Request::UserNotice { name: "al".to_owned(), text: "done".to_owned() };
    administer(&server, request).await;
    assert_eq!(said(&al, room).await, ["done", "maintenance tonight"]);

    // When he leaves, nothing of the room is left, and another begins.
    al.post(&at(room, "leave"), &json!({})).await.ok();
    assert!(server.server().services().engine.rooms.all_open().is_empty());
    notice(&root, &al, "again").await.ok();
    assert!(!invitations(&al).await.contains(room));
}

#[tokio::test]
async fn a_repeated_request_says_nothing_twice() {
    let server = TestServer::open_with(ON).await;
    let root = administrator(&server, "root").await;
    let al = server.register("al").await;
    let body = json!({"user_id": al.user_id, "type": "org.example.alert", "content": {"level": 1}});
    let first = root.put(&format!("{PATH}/1"), &body).await.ok();
    assert_eq!(root.put(&format!("{PATH}/1"), &body).await.ok(), first);
    assert_ne!(root.put(&format!("{PATH}/2"), &body).await.ok(), first);
    let state = json!({"user_id": al.user_id, "type": "m.room.topic", "state_key": "", "content": {"topic": "news"}});
    root.post(PATH, &state).await.ok();
    let room = invitations(&al).await.remove(0);
    al.post(&at(&room, "join"), &json!({})).await.ok();
    assert_eq!(al.get(&at(&room, "state/m.room.topic")).await.ok()["topic"], "news");
}

#[tokio::test]
async fn nobody_can_be_the_sender_and_without_one_there_are_no_notices() {
    let server = TestServer::open_with(ON).await;
    let root = administrator(&server, "root").await;
    let body = json!({"username": "notices", "password": "long enough", "auth": {"type": "m.login.dummy"}});
    server.post("/_matrix/client/v3/register", &body).await.refused(400, "M_USER_IN_USE");
    for user in ["@nobody:localhost", "@notices:localhost", "@al:elsewhere.example"] {
        root.post(PATH, &json!({"user_id": user, "content": {}})).await.refused(404, "M_NOT_FOUND");
    }
    root.post(PATH, &json!({"user_id": root.user_id})).await.refused(400, "M_MISSING_PARAM");
    let server = TestServer::open().await;
    let root = administrator(&server, "root").await;
    notice(&root, &root, "to myself").await.refused(400, "M_UNKNOWN");
}
