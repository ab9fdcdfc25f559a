//! Recovery and key backup, verification by emoji between people and between devices, history on a new device.

use matrix_sdk::encryption::VerificationState;

use super::Cast;
use crate::{
    check::{LONG_WAIT, Report, Result, until, within},
    device::Device,
    verify::compare_emoji,
};

/// Tells the chapter; steps that fail do not stop it.
pub async fn tell(report: &mut Report, cast: &mut Cast) {
    let mut key = None;
    report
        .step("anna sets up recovery, her keys go into the backup", async {
            let recovery = cast.alice.client.encryption().recovery();
            key = Some(recovery.enable().wait_for_backups_to_upload().await?);
            Ok(())
        })
        .await;
    report.step("anna's second device is verified by the first", second_device(cast)).await;
    report.step("the second device is given the secrets and reads history", secrets(cast)).await;
    report
        .step("bert reads what anna says on her second device", async {
            let second = cast.second.as_ref().ok_or("there is no second device")?;
            let said = second.say("from my other device").await?;
            cast.bob.here()?.hears(&said, "from my other device").await?;
            Ok(())
        })
        .await;
    report
        .step("anna's third device restores the backup with the recovery key", async {
            let key = key.ok_or("there is no recovery key")?;
            third_device(cast, &key).await
        })
        .await;
    report.step("anna and bert verify each other", people(cast)).await;
}

async fn second_device(cast: &mut Cast) -> Result<()> {
    let me = cast.alice.user_id();
    let mut second = Device::log_in(me.localpart(), cast.alice.password()).await?;
    let own = until("the second device knows its owner's identity", async || {
        second.client.encryption().request_user_identity(&me).await.ok().flatten()
    })
    .await?;
    let request = own.request_verification().await?;
    compare_emoji(&request, &cast.alice).await?;
    let state = second.client.encryption().verification_state();
    until("the second device is verified", async || (state.get() == VerificationState::Verified).then_some(())).await?;
    second.open(&cast.room).await?;
    cast.second = Some(second);
    Ok(())
}

async fn secrets(cast: &Cast) -> Result<()> {
    let second = cast.second.as_ref().ok_or("there is no second device")?;
    let encryption = second.client.encryption();
    until("the second device holds the signing keys", async || {
        encryption.cross_signing_status().await.filter(|status| status.is_complete()).map(drop)
    })
    .await?;
    until("the second device uses the backup", async || encryption.backups().are_enabled().await.then_some(())).await?;
    second.reaches(&cast.hello).await?;
    second.hears(&cast.hello, "hello bert").await?;
    Ok(())
}

async fn third_device(cast: &Cast, key: &str) -> Result<()> {
    let me = cast.alice.user_id();
    cast.alice.client.encryption().backups().wait_for_steady_state().await?;
    let mut third = Device::log_in(me.localpart(), cast.alice.password()).await?;
    third.client.encryption().recovery().recover(key).await?;
    let state = third.client.encryption().verification_state();
    until("the third device is verified", async || (state.get() == VerificationState::Verified).then_some(())).await?;
    third.open(&cast.room).await?;
    third.reaches(&cast.hello).await?;
    third.hears(&cast.hello, "hello bert").await?;
    third.sync.stop().await;
    third.client.logout().await?;
    Ok(())
}

/// In-room verification, in the direct room that Element X makes for it.
async fn people(cast: &Cast) -> Result<()> {
    let (alice, bob) = (&cast.alice, cast.bob.here()?);
    let direct = alice.client.create_dm(&bob.user_id()).await?;
    bob.invited(direct.room_id()).await?.0.join().await?;
    until("anna sees bert in the direct room", async || (direct.joined_members_count() == 2).then_some(())).await?;
    // As the app does with the rooms its list shows: of others only the newest event of several is told, and a verification
    // that lacks one waits in vain.
    for device in [alice, bob] {
        device.sync.room_list_service().subscribe_to_rooms(&[&cast.room, direct.room_id()]).await;
    }
    let theirs = until("anna knows bert's identity", async || {
        alice.client.encryption().request_user_identity(&bob.user_id()).await.ok().flatten()
    })
    .await?;
    let request = theirs.request_verification().await?;
    compare_emoji(&request, bob).await?;
    for (device, other) in [(alice, bob), (bob, alice)] {
        within(LONG_WAIT, "the other is verified", async || {
            let identity = device.client.encryption().get_user_identity(&other.user_id()).await.ok()??;
            identity.is_verified().then_some(())
        })
        .await?;
    }
    Ok(())
}
