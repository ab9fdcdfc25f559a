//! The story of a room whose messages have all expired: people talk and read, more time passes than messages live, and
//! what the app shows of it afterwards. Messages live for 30 days; they expire twice, while the server is down and while it
//! runs. The server's clock is moved by days, its own alone.

mod after;
mod app;
mod before;

use matrix_sdk::{
    Room, RoomState,
    ruma::{OwnedEventId, OwnedRoomId},
};
use matrix_sdk_ui::sync_service::State;

use crate::{
    check::{Report, Result, until},
    device::Device,
    server,
    story::{Cast, Person, beginning},
};

const TOPIC: &str = "where everybody meets";

/// The people of the story, bert's tablet, and the rooms they meet in.
struct Scene {
    anna: Device,
    bert: Device,
    tablet: Person,
    password: String,
    places: Vec<Place>,
}

/// A room, and the event that a thread in it begins with.
struct Place {
    id: OwnedRoomId,
    name: &'static str,
    root: OwnedEventId,
}

impl Scene {
    /// The rooms that bert reads.
    fn read(&self) -> &[Place] {
        &self.places[..2]
    }

    /// The room that he leaves unread.
    fn board(&self) -> &Place {
        &self.places[2]
    }

    /// A room as anna has it.
    async fn annas(&self, place: &Place) -> Result<Room> {
        self.anna.room(&place.id, RoomState::Joined).await
    }
}

/// Tells the story.
pub async fn tell(report: &mut Report) -> Result<()> {
    let Cast { alice: anna, bob: Person::Here(bert), room, .. } = beginning::gather(report).await? else {
        return Err("bert is not there".into());
    };
    let mut scene = before::settle(report, anna, *bert, room).await?;

    report
        .step("the server is down for 32 days, and its clock is confirmed", async {
            scene.tablet.leave().await?;
            server::kill().await?;
            server::set_ahead(32).await?;
            server::start().await?;
            server::confirm_clock().await?;
            for device in [&scene.anna, &scene.bert] {
                let state = device.sync.state();
                until("they sync again", async || matches!(state.get(), State::Running).then_some(())).await?;
            }
            Ok(())
        })
        .await;
    after::tell(report, &mut scene, "after 32 days in which the server was down").await;

    report
        .step("32 more days pass while the server runs, and its clock is confirmed", async {
            scene.tablet.leave().await?;
            server::set_ahead(64).await?;
            server::confirm_clock().await
        })
        .await;
    after::tell(report, &mut scene, "after 32 days in which the server ran").await;
    Ok(())
}
