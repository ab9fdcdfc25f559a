//! SAS verification, driven from both ends as two people comparing emoji do.

use matrix_sdk::encryption::verification::{
    SasVerification, Verification, VerificationRequest, VerificationRequestState,
};

use crate::{
    check::{LONG_WAIT, Result, same, within},
    device::Device,
};

/// Finishes a request made with `asking`'s device and received by `asked`; both must end done.
pub async fn compare_emoji(outgoing: &VerificationRequest, asked: &Device) -> Result<()> {
    let incoming = within(LONG_WAIT, "the other side is asked to verify", async || {
        let requests = asked.requests.lock().expect("no step panics with the lock");
        requests.iter().find(|request| request.flow_id() == outgoing.flow_id()).cloned()
    })
    .await?;
    incoming.accept().await?;
    within(LONG_WAIT, "the request is ready", async || outgoing.is_ready().then_some(())).await?;
    let first = outgoing.start_sas().await?.ok_or("no SAS could be started")?;
    let second = within(LONG_WAIT, "the other side has the SAS", async || transitioned(&incoming)).await?;
    second.accept().await?;
    let shown = emoji(&first).await?;
    same("emoji", emoji(&second).await?, shown)?;
    first.confirm().await?;
    second.confirm().await?;
    for sas in [first, second] {
        within(LONG_WAIT, "the SAS is done", async || sas.is_done().then_some(())).await?;
    }
    Ok(())
}

fn transitioned(request: &VerificationRequest) -> Option<SasVerification> {
    match request.state() {
        VerificationRequestState::Transitioned { verification: Verification::SasV1(sas) } => Some(sas),
        _ => None,
    }
}

async fn emoji(sas: &SasVerification) -> Result<Vec<&'static str>> {
    within(LONG_WAIT, "emoji are shown", async || {
        sas.emoji().map(|all| all.iter().map(|emoji| emoji.description).collect())
    })
    .await
}
