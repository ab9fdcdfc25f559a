//! The server is killed and started again while two members' apps are closed.

use matrix_sdk_ui::sync_service::State;

use super::Cast;
use crate::{
    check::{Report, Result, expect, until},
    server,
};

/// Tells the chapter; steps that fail do not stop it.
pub async fn tell(report: &mut Report, cast: &mut Cast) {
    let mut missed = Vec::new();
    let Ok(carol) = cast.carol.here().map(crate::device::Device::user_id) else { return };

    report
        .step("bert and cleo close their apps, anna goes on talking", async {
            cast.bob.leave().await?;
            cast.carol.leave().await?;
            for body in ["while bert is away", "and once more"] {
                missed.push((cast.alice.say(body).await?, body));
            }
            Ok(())
        })
        .await;

    report
        .step("the server is killed and started again", async {
            server::kill().await?;
            server::start().await?;
            let state = cast.alice.sync.state();
            until("anna syncs again", async || matches!(state.get(), State::Running).then_some(())).await
        })
        .await;

    report
        .step("anna talks on after the restart, with a new key for absent bert", async {
            cast.alice.timeline()?.room().discard_room_key().await?;
            cast.alice.client.send_queue().set_enabled(true).await;
            for body in ["after the restart", "bert is still away"] {
                missed.push((cast.alice.say(body).await?, body));
            }
            Ok(())
        })
        .await;

    report
        .step("anna invites absent cleo", async { Ok(cast.alice.timeline()?.room().invite_user_by_id(&carol).await?) })
        .await;

    report
        .step("bert comes back and reads everything he missed", async {
            cast.bob.come_back().await?;
            let bob = cast.bob.here_mut()?;
            bob.open(&cast.room).await?;
            for (id, body) in &missed {
                bob.hears(id, body).await?;
            }
            let shown = bob.timeline()?.items().await;
            let place =
                |id| shown.iter().position(|item| item.as_event().and_then(|event| event.event_id()) == Some(id));
            let places: Vec<_> = missed.iter().map(|(id, _)| place(&**id)).collect();
            expect("what bert missed in its order", places.is_sorted())
        })
        .await;

    report.step("bert still trusts anna, and they talk", trusts_and_talks(cast)).await;
    report.step("cleo comes back, finds the invitation, joins and talks", joins(cast)).await;
}

async fn trusts_and_talks(cast: &Cast) -> Result<()> {
    let (alice, bob) = (&cast.alice, cast.bob.here()?);
    let identity = bob.client.encryption().get_user_identity(&alice.user_id()).await?;
    expect("bert to trust anna", identity.is_some_and(|identity| identity.is_verified()))?;
    let said = bob.say("I am back").await?;
    alice.hears(&said, "I am back").await?;
    Ok(())
}

async fn joins(cast: &mut Cast) -> Result<()> {
    cast.carol.come_back().await?;
    let carol = cast.carol.here_mut()?;
    carol.invited(&cast.room).await?.0.join().await?;
    carol.open(&cast.room).await?;
    let room = cast.alice.timeline()?.room();
    until("anna sees cleo joined", async || (room.joined_members_count() == 3).then_some(())).await?;
    carol.reaches(&cast.hello).await?;
    carol.hears(&cast.hello, "hello bert").await?;
    let said = cast.alice.say("welcome cleo").await?;
    carol.hears(&said, "welcome cleo").await?;
    let answer = carol.say("thank you").await?;
    cast.bob.here()?.hears(&answer, "thank you").await?;
    Ok(())
}
