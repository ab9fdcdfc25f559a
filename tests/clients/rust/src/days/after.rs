//! What the app shows when everything has expired, and that all goes on from there.

use matrix_sdk::{
    RoomMemberships, RoomState,
    ruma::{OwnedEventId, api::client::receipt::create_receipt::v3::ReceiptType},
};

use super::{
    Place, Scene, TOPIC, app,
    before::{knows, leave_unread, log_in, log_out, say},
};
use crate::{
    check::{Report, Result, expect, same, until},
    device::Device,
};

/// Tells what comes; steps that fail do not stop it.
pub async fn tell(report: &mut Report, scene: &mut Scene, when: &str) {
    report
        .step(
            &format!("{when}, bert's app that stayed open counts nothing, and what it holds can be read"),
            holds(&scene.bert, scene),
        )
        .await;
    report
        .step(&format!("{when}, bert's tablet, closed all the time, comes back and does the same"), async {
            scene.tablet.come_back().await?;
            holds(scene.tablet.here()?, scene).await
        })
        .await;
    report
        .step(
            &format!("{when}, bert logs in afresh: nothing is unread, and all of every room is there but its messages"),
            afresh(scene),
        )
        .await;
    report
        .step(&format!("{when}, what nobody calls a message leaves the rooms read"), async {
            renamed(scene, when).await?;
            let device = log_in(scene).await?;
            for place in &scene.places {
                drop(app::open(&device, &place.id).await?);
            }
            all_read(&device, scene).await?;
            log_out(device).await
        })
        .await;
    report
        .step(&format!("{when}, they talk on, new messages are unread, and reading them ends it"), talk_on(scene, when))
        .await;
    report
        .step(
            &format!("{when}, anna goes on in threads whose beginnings are gone, and bert reads them"),
            thread_on(scene, when),
        )
        .await;
    report.step(&format!("{when}, bert leaves a room unread again"), leave_unread(scene)).await;
}

/// What was read is read; of what was not, an app may still hold what the server has not, until somebody looks at it.
async fn holds(device: &Device, scene: &Scene) -> Result<()> {
    for place in scene.read() {
        app::looks_read(device, &place.id).await?;
    }
    let board = &scene.board().id;
    app::looks(device, board, "the server counts nothing", |shown| shown.server == (0, 0)).await?;
    app::read(device, board).await?;
    app::looks_read(device, board).await
}

async fn all_read(device: &Device, scene: &Scene) -> Result<()> {
    for place in &scene.places {
        app::looks_read(device, &place.id).await?;
    }
    Ok(())
}

async fn afresh(scene: &Scene) -> Result<()> {
    let device = log_in(scene).await?;
    for place in &scene.places {
        is_empty(&device, scene, place).await.map_err(|error| format!("{}: {error}", place.name))?;
    }
    all_read(&device, scene).await?;
    log_out(device).await
}

/// Nothing is in the room's timeline, which ends without an error; everything else of the room is there.
async fn is_empty(device: &Device, scene: &Scene, place: &Place) -> Result<()> {
    let room = device.room(&place.id, RoomState::Joined).await?;
    let timeline = app::open(device, &place.id).await?;
    let left = timeline.items().await.iter().filter(|item| item.as_event().is_some()).count();
    same("what is in its timeline", left, 0)?;
    same("its name", room.name().as_deref(), Some(place.name))?;
    same("its topic", room.topic().as_deref(), Some(TOPIC))?;
    same("its members", room.members(RoomMemberships::JOIN).await?.len(), 2)?;
    let anna = room.get_member(&scene.anna.user_id()).await?.ok_or("anna is not there")?;
    let bert = room.get_member(&device.user_id()).await?.ok_or("bert is not there")?;
    expect("anna to have more power", anna.power_level() > bert.power_level())?;
    expect("no latest event", room.latest_event().is_none())?;
    same("its marks", app::Shown::of(&room), app::Shown::READ)
}

/// Anna has another name.
async fn renamed(scene: &Scene, when: &str) -> Result<()> {
    let name = format!("Anna {when}");
    scene.anna.client.account().set_display_name(Some(&name)).await?;
    let anna = scene.anna.user_id();
    for place in &scene.places {
        let room = scene.bert.room(&place.id, RoomState::Joined).await?;
        until("bert sees anna's new name", async || {
            let member = room.get_member_no_sync(&anna).await.ok().flatten()?;
            (member.display_name() == Some(&name)).then_some(())
        })
        .await?;
    }
    Ok(())
}

async fn talk_on(scene: &Scene, when: &str) -> Result<()> {
    let (body, fresh) = (format!("new {when}"), log_in(scene).await?);
    knows(&scene.anna, &fresh).await?;
    scene.annas(&scene.places[0]).await?.discard_room_key().await?;
    let devices = [&scene.bert, scene.tablet.here()?, &fresh];
    for place in &scene.places {
        let said = say(scene, place, &body, false).await?;
        for device in devices {
            app::looks_unread(device, &place.id).await?;
            reads(device, place, &said, &body).await?;
        }
        app::read(&fresh, &place.id).await?;
        for device in devices {
            app::looks_read(device, &place.id).await?;
        }
    }
    log_out(fresh).await
}

async fn reads(device: &Device, place: &Place, said: &OwnedEventId, body: &str) -> Result<()> {
    let timeline = app::open(device, &place.id).await?;
    app::hears(&timeline, said, body).await.map_err(|error| format!("{}: {error}", place.name).into())
}

async fn thread_on(scene: &Scene, when: &str) -> Result<()> {
    let body = format!("more {when}");
    for place in &scene.places {
        let said = say(scene, place, &body, true).await?;
        let thread = app::open_thread(&scene.bert, place).await?;
        app::hears(&thread, &said, &body).await?;
        thread.mark_as_read(ReceiptType::Read).await?;
        for device in [&scene.bert, scene.tablet.here()?] {
            app::looks_read(device, &place.id).await?;
        }
        let fresh = log_in(scene).await?;
        drop(app::open(&fresh, &place.id).await?);
        app::looks_read(&fresh, &place.id).await?;
        log_out(fresh).await?;
    }
    Ok(())
}
