//! The story: two people, and everything they tell the server.

use serde_json::json;

use super::{Kept, Markers, Person, Teller, account, administration, asked, members, rooms, web::Web};
use crate::{
    http::escape,
    process::{Process, text},
};

pub(super) fn tell(server: &mut Process, markers: &mut Markers) {
    let mut teller = cast(server, markers);
    let room = rooms::a_room(&mut teller);
    rooms::messages(&mut teller, &room);
    members::joins(&mut teller, &room);
    rooms::thread(&mut teller, &room);
    rooms::delayed(&mut teller, &room);
    rooms::upgrade(&mut teller);
    rooms::directory(&mut teller, &room);
    members::knocks(&mut teller);
    account::data(&mut teller, &room);
    account::profile(&mut teller);
    account::push(&mut teller, &room);
    account::keys(&mut teller);
    account::backup(&mut teller, &room);
    account::dehydrated(&mut teller);
    account::devices(&mut teller);
    account::media(&mut teller);
    asked::searches(&mut teller);
    asked::broken(&mut teller);
    asked::unknown(&mut teller);
    asked::previews(&mut teller);
    asked::passing(&mut teller, &room);
    administration::appoint(server, &mut teller);
    administration::reports(server, &mut teller, &room);
    administration::accounts(server, &mut teller);
    administration::notices(server, &mut teller);
    administration::tokens(server, &mut teller);
    administration::rooms(server, &mut teller);
    administration::end(server, &mut teller);
    cold(server, &mut teller);
}

fn cast<'a>(server: &mut Process, markers: &'a mut Markers) -> Teller<'a> {
    let localpart = markers.stored("localpart");
    let password = format!("{} horse battery", markers.never("password"));
    let device = markers.stored("device name");
    let mut client = server.register(&localpart, &password, &device);
    markers.note("access token", client.token.as_deref().expect("a token"), Kept::Never);
    markers.note("client address", "203.0.113.77", Kept::Never);
    let user = format!("@{localpart}:localhost");
    markers.note("user id", &user, Kept::Stored);
    client.headers = vec![
        ("User-Agent".to_owned(), markers.never("user agent")),
        ("X-Forwarded-For".to_owned(), "203.0.113.77".to_owned()),
        ("Forwarded".to_owned(), format!("for={}", markers.never("proxy header"))),
        ("Referer".to_owned(), format!("https://{}.example/", markers.never("referrer"))),
    ];
    let me = Person { client, user, password };
    let localpart = markers.stored("other localpart");
    let password = format!("{} staple correct", markers.never("other password"));
    let client = server.register(&localpart, &password, "second");
    let other = Person { client, user: format!("@{localpart}:localhost"), password };
    let web = Web::start(&markers.never("page title"), &markers.never("gateway answer"));
    Teller { markers, me, other, root: None, web }
}

/// Restarted with the second user away, so that what reaches him goes through his mail.
fn cold(server: &mut Process, teller: &mut Teller<'_>) {
    server.kill();
    server.configure("[url_previews]\nenabled = true", "[url_previews]\nenabled = false");
    server.restart();
    let other = teller.other.user.clone();
    teller.me.client = teller.me.client.again(server.address);
    let mark = teller.markers.stored("cold to-device content");
    let body = json!({ "messages": { &other: { "*": { "x": mark } } } });
    teller.me.put("/_matrix/client/v3/sendToDevice/m.cold/1", &body);
    let name = teller.markers.stored("cold invitation room name");
    let cold = teller.me.post("/_matrix/client/v3/createRoom", &json!({ "name": name, "invite": [other] }));
    teller.markers.note("cold room id", &text(&cold, "room_id"), Kept::Stored);
    teller.me.get("/_matrix/client/v3/sync?timeout=0");
    let reason = teller.markers.stored("reason of a report while the administrator is away");
    teller.me.post(&format!("/_matrix/client/v3/users/{}/report", escape(&other)), &json!({ "reason": reason }));
    asked::previews_off(teller);
}
