//! What the app does with a room: its entry in the list, opening it, reading it.

use matrix_sdk::{
    Room, RoomState,
    ruma::{OwnedEventId, RoomId, api::client::receipt::create_receipt::v3::ReceiptType},
};
use matrix_sdk_ui::timeline::{RoomExt as _, Timeline, TimelineFocus};

use super::Place;
use crate::{
    check::{Result, until},
    device::{Device, find, says},
};

/// What decides about the marks beside a room in the list.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub messages: u64,
    pub notifications: u64,
    pub mentions: u64,
    pub marked: bool,
    /// What the server counts: notifications and highlights.
    pub server: (u64, u64),
}

impl Shown {
    /// No mark at all.
    pub const READ: Self = Self { messages: 0, notifications: 0, mentions: 0, marked: false, server: (0, 0) };

    pub fn of(room: &Room) -> Self {
        let server = room.unread_notification_counts();
        Self {
            messages: room.num_unread_messages(),
            notifications: room.num_unread_notifications(),
            mentions: room.num_unread_mentions(),
            marked: room.is_marked_unread(),
            server: (server.notification_count, server.highlight_count),
        }
    }
}

/// Waits until the room has no mark.
pub async fn looks_read(device: &Device, id: &RoomId) -> Result<()> {
    looks(device, id, "the room is read", |shown| *shown == Shown::READ).await
}

/// Waits until the room has one.
pub async fn looks_unread(device: &Device, id: &RoomId) -> Result<()> {
    looks(device, id, "the room is unread", |shown| shown.messages > 0 && shown.server.0 > 0).await
}

/// Waits until the room has the marks that `wanted` accepts.
pub async fn looks(device: &Device, id: &RoomId, what: &str, wanted: impl Fn(&Shown) -> bool) -> Result<()> {
    let room = device.room(id, RoomState::Joined).await?;
    let waited = until(what, async || wanted(&Shown::of(&room)).then_some(())).await;
    waited.map_err(|error| {
        let name = room.name().unwrap_or_default();
        format!(
            "“{name}” on {}: {error}; it shows {:?}",
            device.client.device_id().map_or("no device", |id| id.as_str()),
            Shown::of(&room)
        )
        .into()
    })
}

/// Opens a room that may be empty, and goes back to where its timeline ends.
pub async fn open(device: &Device, id: &RoomId) -> Result<Timeline> {
    let room = device.room(id, RoomState::Joined).await?;
    device.sync.room_list_service().subscribe_to_rooms(&[id]).await;
    let timeline = room.timeline().await?;
    to_the_end(&timeline).await?;
    Ok(timeline)
}

/// Opens the thread of a place.
pub async fn open_thread(device: &Device, place: &Place) -> Result<Timeline> {
    let room = device.room(&place.id, RoomState::Joined).await?;
    let focus = TimelineFocus::Thread { root_event_id: place.root.clone() };
    let timeline = room.timeline_builder().with_focus(focus).build().await?;
    to_the_end(&timeline).await?;
    Ok(timeline)
}

async fn to_the_end(timeline: &Timeline) -> Result<()> {
    for _ in 0..20 {
        if timeline.paginate_backwards(20).await? {
            return Ok(());
        }
    }
    Err("the timeline does not end".into())
}

/// Reads a room to its end.
pub async fn read(device: &Device, id: &RoomId) -> Result<()> {
    let timeline = open(device, id).await?;
    timeline.mark_as_read(ReceiptType::Read).await?;
    timeline.mark_as_read(ReceiptType::FullyRead).await?;
    Ok(())
}

/// Waits until a timeline shows a message, decrypted if it was encrypted.
pub async fn hears(timeline: &Timeline, id: &OwnedEventId, body: &str) -> Result<()> {
    until(&format!("“{body}” is read"), async || {
        find(timeline, |item| item.event_id() == Some(id) && says(item, body)).await.map(drop)
    })
    .await
}
