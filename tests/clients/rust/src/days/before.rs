//! What there is before anything expires. Bert reads two of the rooms and not the third.

use matrix_sdk::{
    RoomState,
    ruma::{
        OwnedEventId, OwnedRoomId,
        api::client::{
            receipt::create_receipt::v3::ReceiptType,
            room::create_room::v3::{Request, RoomPreset},
        },
        events::{
            Mentions,
            relation::Thread,
            room::message::{Relation, RoomMessageEventContent},
        },
    },
};

use super::{Place, Scene, TOPIC, app};
use crate::{
    check::{Report, Result, until},
    device::Device,
    story::Person,
};

/// Makes the rooms, talks in them, and reads two of them.
pub async fn settle(report: &mut Report, anna: Device, bert: Device, story: OwnedRoomId) -> Result<Scene> {
    let password = bert.password().to_owned();
    let mut scene = Scene { anna, bert, tablet: Person::Gone, password, places: Vec::new() };
    report
        .step("anna makes two rooms that are not encrypted, and bert joins", async {
            let places = [
                (story, "The story"),
                (meet(&scene, "The square").await?, "The square"),
                (meet(&scene, "The board").await?, "The board"),
            ];
            scene.anna.room(&places[0].0, RoomState::Joined).await?.set_room_topic(TOPIC).await?;
            for (id, name) in places {
                let room = scene.anna.room(&id, RoomState::Joined).await?;
                let sent = room.send(RoomMessageEventContent::text_plain("a thread begins")).await?;
                scene.places.push(Place { id, name, root: sent.response.event_id });
            }
            Ok(())
        })
        .await;
    if scene.places.len() != 3 {
        return Err("there are no rooms".into());
    }
    report
        .step("bert's tablet logs in", async {
            let tablet = log_in(&scene).await?;
            knows(&scene.anna, &tablet).await?;
            scene.tablet = Person::Here(Box::new(tablet));
            Ok(())
        })
        .await;
    report.step("they talk, in threads too", talk(&scene)).await;
    report.step("bert reads what is in two rooms, and not what mentions him in the third", leave_unread(&scene)).await;
    report
        .step("bert logs in afresh: two rooms are read, the third is not", async {
            let device = log_in(&scene).await?;
            for place in scene.read() {
                drop(app::open(&device, &place.id).await?);
                app::looks_read(&device, &place.id).await?;
            }
            app::looks_unread(&device, &scene.board().id).await?;
            log_out(device).await
        })
        .await;
    Ok(scene)
}

/// A room of anna's that bert has joined.
async fn meet(scene: &Scene, name: &str) -> Result<OwnedRoomId> {
    let mut request = Request::new();
    request.name = Some(name.to_owned());
    request.topic = Some(TOPIC.to_owned());
    request.preset = Some(RoomPreset::PrivateChat);
    request.invite = vec![scene.bert.user_id()];
    let id = scene.anna.client.create_room(request).await?.room_id().to_owned();
    scene.bert.invited(&id).await?.0.join().await?;
    scene.bert.room(&id, RoomState::Joined).await?;
    Ok(id)
}

async fn talk(scene: &Scene) -> Result<()> {
    for place in &scene.places {
        let (annas, berts) = (app::open(&scene.anna, &place.id).await?, app::open(&scene.bert, &place.id).await?);
        app::hears(&berts, &place.root, "a thread begins").await?;
        let said = berts.room().send(RoomMessageEventContent::text_plain("from bert")).await?.response.event_id;
        app::hears(&annas, &said, "from bert").await?;
        let said = say(scene, place, "from anna", false).await?;
        app::hears(&berts, &said, "from anna").await?;
        let thread = app::open_thread(&scene.bert, place).await?;
        let said = say(scene, place, "from anna in the thread", true).await?;
        app::hears(&thread, &said, "from anna in the thread").await?;
        thread.mark_as_read(ReceiptType::Read).await?;
    }
    Ok(())
}

/// Bert has read two rooms; in the third anna mentions him, in the room and in its thread.
pub async fn leave_unread(scene: &Scene) -> Result<()> {
    for place in scene.read() {
        app::read(&scene.bert, &place.id).await?;
        app::looks_read(&scene.bert, &place.id).await?;
    }
    let board = scene.board();
    for threaded in [true, false] {
        let mut content = content(board, "bert, come", threaded);
        content.mentions = Some(Mentions::with_user_ids([scene.bert.user_id()]));
        scene.annas(board).await?.send(content).await?;
    }
    for device in [&scene.bert, scene.tablet.here()?] {
        app::looks_unread(device, &board.id).await?;
    }
    Ok(())
}

/// Anna says something.
pub async fn say(scene: &Scene, place: &Place, body: &str, threaded: bool) -> Result<OwnedEventId> {
    Ok(scene.annas(place).await?.send(content(place, body, threaded)).await?.response.event_id)
}

fn content(place: &Place, body: &str, threaded: bool) -> RoomMessageEventContent {
    let mut content = RoomMessageEventContent::text_plain(body);
    if threaded {
        content.relates_to = Some(Relation::Thread(Thread::plain(place.root.clone(), place.root.clone())));
    }
    content
}

/// Another device of bert's.
pub async fn log_in(scene: &Scene) -> Result<Device> {
    let user = scene.bert.user_id();
    Device::log_in(user.localpart(), &scene.password).await
}

/// Ends a device.
pub async fn log_out(device: Device) -> Result<()> {
    device.sync.stop().await;
    Ok(device.client.matrix_auth().logout().await.map(drop)?)
}

/// Anna's app has the keys of a device, and so encrypts for it.
pub async fn knows(anna: &Device, device: &Device) -> Result<()> {
    let (user, id) = (device.user_id(), device.client.device_id().ok_or("no device id")?);
    until("anna knows the new device", async || {
        anna.client.encryption().get_device(&user, id).await.ok().flatten().map(drop)
    })
    .await
}
