//! Leaving and coming back; deleting a device; logging out.

use matrix_sdk::{
    RoomState,
    ruma::api::{
        client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
        error::ErrorKind,
    },
};

use super::Cast;
use crate::{
    check::{Report, Result, expect, until},
    device::Device,
};

/// Tells the chapter; steps that fail do not stop it.
pub async fn tell(report: &mut Report, cast: &mut Cast) {
    report.step("bert leaves, anna sees it and goes on", leaves(cast)).await;
    report.step("bert is invited again, rejoins, and they talk", rejoins(cast)).await;
    report.step("a device is deleted and logged out at once", deletes(cast)).await;
    report
        .step("everybody logs out and the tokens are dead", async {
            for device in [cast.bob.here()?, cast.carol.here()?, &cast.alice] {
                device.sync.stop().await;
                device.client.matrix_auth().logout().await?;
                dead(device).await?;
            }
            Ok(())
        })
        .await;
}

async fn leaves(cast: &Cast) -> Result<()> {
    let (alice, bob) = (&cast.alice, cast.bob.here()?);
    bob.timeline()?.room().leave().await?;
    bob.room(&cast.room, RoomState::Left).await?;
    let room = alice.timeline()?.room();
    until("anna sees bert gone", async || (room.joined_members_count() == 2).then_some(())).await?;
    alice.say("said while bert was gone").await?;
    Ok(())
}

async fn rejoins(cast: &mut Cast) -> Result<()> {
    let (alice, bob) = (&cast.alice, cast.bob.here_mut()?);
    alice.timeline()?.room().invite_user_by_id(&bob.user_id()).await?;
    bob.invited(&cast.room).await?.0.join().await?;
    bob.open(&cast.room).await?;
    let room = alice.timeline()?.room();
    until("anna sees bert back", async || (room.joined_members_count() == 3).then_some(())).await?;
    let said = alice.say("welcome back").await?;
    bob.hears(&said, "welcome back").await?;
    let answer = bob.say("good to be back").await?;
    alice.hears(&answer, "good to be back").await?;
    Ok(())
}

async fn deletes(cast: &Cast) -> Result<()> {
    let second = cast.second.as_ref().ok_or("there is no second device")?;
    second.sync.stop().await;
    let doomed = [second.client.device_id().ok_or("no device id")?.to_owned()];
    let alice = &cast.alice.client;
    let Err(error) = alice.delete_devices(&doomed, None).await else {
        return Err("devices are deleted without a password".into());
    };
    let info = error.as_uiaa_response().ok_or("no authentication was asked for")?;
    let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(cast.alice.user_id().to_string()));
    let mut password = Password::new(user, cast.alice.password().to_owned());
    password.session = info.session.clone();
    alice.delete_devices(&doomed, Some(AuthData::Password(password))).await?;
    dead(second).await
}

async fn dead(device: &Device) -> Result<()> {
    let Err(error) = device.client.whoami().await else { return Err("the token still works".into()) };
    let kind = error.client_api_error_kind();
    expect("M_UNKNOWN_TOKEN", kind.is_none_or(|kind| matches!(kind, ErrorKind::UnknownToken { .. })))
}
