//! Accounts, cross-signing, the room list, an encrypted room with two people in it.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, pin_mut};
use matrix_sdk::{
    RoomState,
    encryption::VerificationState,
    ruma::{
        OwnedRoomId,
        api::client::room::create_room::v3::{Request, RoomPreset},
        events::{EmptyStateKey, InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    },
};
use matrix_sdk_ui::room_list_service::{RoomListLoadingState, filters::new_filter_non_left};

use super::{Cast, Person};
use crate::{
    check::{Report, Result, WAIT, same, until},
    device::{Device, register},
};

const PASSWORD: &str = "wombat lantern quartz 7 drizzle envoy";

/// Tells the beginning; an error when there is nobody to tell the rest about.
pub async fn gather(report: &mut Report) -> Result<Cast> {
    let suffix = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut people = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        let localpart = format!("{name}-{suffix:x}");
        let step = format!("{name} is registered, logs in and syncs");
        report
            .step(&step, async {
                register(&localpart, PASSWORD).await?;
                let device = Device::log_in(&localpart, PASSWORD).await?;
                loaded(&device).await?;
                people.push(device);
                Ok(())
            })
            .await;
    }
    let [mut alice, mut bob, carol] = <[Device; 3]>::try_from(people).map_err(|_| "not everybody is there")?;

    report
        .step("every device is cross-signed by its owner", async {
            for device in [&alice, &bob, &carol] {
                let state = device.client.encryption().verification_state();
                until("the device is verified", async || (state.get() == VerificationState::Verified).then_some(()))
                    .await?;
            }
            Ok(())
        })
        .await;

    let mut room = None;
    report
        .step("anna creates an encrypted room and finds it in her list", async {
            let id = create(&alice).await?;
            listed(&alice, &id).await?;
            alice.open(&id).await?;
            encrypted(&alice, &id).await?;
            room = Some(id);
            Ok(())
        })
        .await;
    let room = room.ok_or("there is no room")?;

    report
        .step("anna invites bert, he sees by whom and joins", async {
            alice.timeline()?.room().invite_user_by_id(&bob.user_id()).await?;
            let (invited, inviter) = bob.invited(&room).await?;
            same("the inviter", inviter, alice.user_id())?;
            same("the invited room's name", invited.display_name().await?.to_string().as_str(), "The story")?;
            invited.join().await?;
            encrypted(&bob, &room).await?;
            bob.open(&room).await
        })
        .await;

    let mut hello = None;
    report
        .step("messages both ways are decrypted", async {
            let said = alice.say("hello bert").await?;
            bob.hears(&said, "hello bert").await?;
            let answer = bob.say("hello anna").await?;
            alice.hears(&answer, "hello anna").await?;
            hello = Some(said);
            Ok(())
        })
        .await;
    let hello = hello.ok_or("nobody can read")?;
    let (bob, carol) = (Person::Here(Box::new(bob)), Person::Here(Box::new(carol)));
    Ok(Cast { alice, bob, carol, second: None, room, hello })
}

async fn create(device: &Device) -> Result<OwnedRoomId> {
    let encryption = RoomEncryptionEventContent::with_recommended_defaults();
    let mut request = Request::new();
    request.name = Some("The story".to_owned());
    request.preset = Some(RoomPreset::PrivateChat);
    request.initial_state = vec![InitialStateEvent::new(EmptyStateKey, encryption).to_raw_any()];
    let room = device.client.create_room(request).await?;
    Ok(room.room_id().to_owned())
}

/// The device knows that the room is encrypted.
async fn encrypted(device: &Device, room: &OwnedRoomId) -> Result<()> {
    let room = device.room(room, RoomState::Joined).await?;
    until("the room is encrypted", async || {
        room.latest_encryption_state().await.is_ok_and(|state| state.is_encrypted()).then_some(())
    })
    .await
}

/// The room list has been loaded from the server.
async fn loaded(device: &Device) -> Result<()> {
    let list = device.sync.room_list_service().all_rooms().await?;
    let state = list.loading_state();
    until("the room list is loaded", async || matches!(state.get(), RoomListLoadingState::Loaded { .. }).then_some(()))
        .await
}

/// The room comes up in the list the app shows.
async fn listed(device: &Device, room: &OwnedRoomId) -> Result<()> {
    let list = device.sync.room_list_service().all_rooms().await?;
    let (entries, control) = list.entries_with_dynamic_adapters(20);
    control.set_filter(Box::new(new_filter_non_left()));
    pin_mut!(entries);
    let found = async {
        let mut shown = eyeball_im::Vector::new();
        while let Some(diffs) = entries.next().await {
            for diff in diffs {
                diff.apply(&mut shown);
            }
            if shown.iter().any(|item| item.room_id() == room) {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT, found).await.map_err(|_| "the room does not come up in the list")?;
    Ok(())
}
