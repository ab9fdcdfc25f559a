//! Everyday use of a room: reactions, edits, threads, redactions, receipts, typing.

use matrix_sdk::{
    room::edit::EditedContent,
    ruma::{
        OwnedEventId,
        api::client::receipt::create_receipt::v3::ReceiptType,
        events::room::message::{RoomMessageEventContent, RoomMessageEventContentWithoutRelation},
    },
};
use matrix_sdk_ui::timeline::{RoomExt, TimelineEventItemId, TimelineFocus};

use super::Cast;
use crate::{
    check::{Report, Result, expect, until},
    device::{Device, find, says},
};

/// Tells the chapter; steps that fail do not stop it.
pub async fn tell(report: &mut Report, cast: &Cast) {
    let alice = &cast.alice;
    let Ok(bob) = cast.bob.here() else { return };
    report.step("typing is seen", typing(alice, bob)).await;
    report.step("a reaction is seen", reaction(alice, bob, &cast.hello)).await;
    report.step("an edit is seen", edit(alice, bob)).await;
    report.step("a thread is seen and counted", thread(alice, bob)).await;
    report.step("a redaction is seen", redaction(alice, bob)).await;
    report.step("unread counts rise and receipts clear them", unread(alice, bob)).await;
}

async fn typing(alice: &Device, bob: &Device) -> Result<()> {
    let (_guard, mut typing) = bob.timeline()?.room().subscribe_to_typing_notifications();
    alice.timeline()?.room().typing_notice(true).await?;
    until("bert sees anna typing", async || {
        typing.try_recv().ok().filter(|users| users.contains(&alice.user_id())).map(drop)
    })
    .await?;
    alice.timeline()?.room().typing_notice(false).await?;
    until("bert sees anna stop", async || typing.try_recv().ok().filter(Vec::is_empty).map(drop)).await
}

async fn reaction(alice: &Device, bob: &Device, hello: &OwnedEventId) -> Result<()> {
    bob.timeline()?.toggle_reaction(&TimelineEventItemId::EventId(hello.clone()), "👍").await?;
    let by = bob.user_id();
    alice
        .sees("anna sees the reaction", hello, |item| {
            let reactions = item.content().reactions();
            reactions.and_then(|all| all.get("👍")).is_some_and(|senders| senders.contains_key(&by))
        })
        .await
}

async fn edit(alice: &Device, bob: &Device) -> Result<()> {
    let said = alice.say("first thuoght").await?;
    bob.hears(&said, "first thuoght").await?;
    let corrected = RoomMessageEventContentWithoutRelation::text_plain("second thought");
    let id = TimelineEventItemId::EventId(said.clone());
    alice.timeline()?.edit(&id, EditedContent::RoomMessage(corrected)).await?;
    bob.sees("bert reads the edit", &said, |item| {
        item.content().as_message().is_some_and(|message| message.is_edited() && message.body() == "second thought")
    })
    .await
}

async fn thread(alice: &Device, bob: &Device) -> Result<()> {
    let root = alice.say("a thread begins").await?;
    bob.hears(&root, "a thread begins").await?;
    let focus = TimelineFocus::Thread { root_event_id: root.clone() };
    let mine = alice.timeline()?.room().timeline_builder().with_focus(focus.clone()).build().await?;
    mine.send(RoomMessageEventContent::text_plain("in the thread").into()).await?;
    alice.sent(&mine, "in the thread").await?;

    let theirs = bob.timeline()?.room().timeline_builder().with_focus(focus).build().await?;
    theirs.paginate_backwards(20).await?;
    until("bert reads the thread", async || find(&theirs, |item| says(item, "in the thread")).await).await?;
    theirs.send(RoomMessageEventContent::text_plain("also in the thread").into()).await?;
    bob.sent(&theirs, "also in the thread").await?;
    until("anna reads the answer", async || find(&mine, |item| says(item, "also in the thread")).await).await?;
    alice
        .sees("the thread counts two replies", &root, |item| {
            item.content().thread_summary().is_some_and(|summary| summary.num_replies == 2)
        })
        .await
}

async fn redaction(alice: &Device, bob: &Device) -> Result<()> {
    let said = alice.say("soon gone").await?;
    bob.hears(&said, "soon gone").await?;
    alice.timeline()?.redact(&TimelineEventItemId::EventId(said.clone()), Some("of the story")).await?;
    bob.sees("bert sees it redacted", &said, |item| item.content().is_redacted()).await
}

async fn unread(alice: &Device, bob: &Device) -> Result<()> {
    let room = bob.timeline()?.room();
    bob.timeline()?.mark_as_read(ReceiptType::Read).await?;
    until("bert has read everything", async || (room.num_unread_messages() == 0).then_some(())).await?;

    alice.say("unread one").await?;
    let two = alice.say("unread two").await?;
    bob.hears(&two, "unread two").await?;
    until("bert's client counts two", async || (room.num_unread_messages() == 2).then_some(())).await?;
    until("bert is notified of two", async || (room.num_unread_notifications() == 2).then_some(())).await?;
    bob.timeline()?.send_single_receipt(ReceiptType::ReadPrivate, two.clone()).await?;
    until("a private receipt clears it", async || (room.num_unread_messages() == 0).then_some(())).await?;
    bob.timeline()?.send_single_receipt(ReceiptType::FullyRead, two.clone()).await?;

    let three = alice.say("unread three").await?;
    bob.hears(&three, "unread three").await?;
    let (at, by) = (alice.timeline()?, bob.user_id());
    let shown = at.latest_user_read_receipt(&by).await.map(|(id, _)| id);
    expect("the private receipt to stay private", shown.as_ref() != Some(&two))?;
    bob.timeline()?.send_single_receipt(ReceiptType::Read, three.clone()).await?;
    until("anna sees how far bert read", async || {
        at.latest_user_read_receipt(&by).await.filter(|(id, _)| *id == three).map(drop)
    })
    .await
}
