//! Threads that an account follows (MSC4306), and all of them page by page (MSC4308).

use std::sync::Arc;

use ruma::{
    OwnedRoomId, UInt,
    api::client::threads::{
        get_thread_subscription::unstable as get,
        get_thread_subscriptions_changes::unstable::{self as all, ThreadSubscription, ThreadUnsubscription},
        subscribe_thread::unstable as subscribe,
        unsubscribe_thread::unstable as unsubscribe,
    },
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session},
    error::Error,
    push::threads,
    rooms::Room,
};

/// Threads of one page when the client does not say, and at most.
const PAGE: usize = 100;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(subscription).ruma(follow).ruma(unfollow).ruma(subscriptions)
}

/// `GET /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`
async fn subscription(services: Arc<Services>, request: Ruma<get::Request>) -> Result<get::Response, Error> {
    let room = room(&services, &request.session, &request.body.room_id).await?;
    let thread = threads::subscription(request.session.account(), &room, &request.body.thread_root)?;
    let thread = thread.ok_or_else(|| Error::not_found("You do not follow this thread"))?;
    Ok(get::Response::new(thread.automatic))
}

/// `PUT /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`
async fn follow(services: Arc<Services>, request: Ruma<subscribe::Request>) -> Result<subscribe::Response, Error> {
    let subscribe::Request { room_id, thread_root, automatic, .. } = request.body;
    let room = room(&services, &request.session, &room_id).await?;
    let (account, journals) = (request.session.account(), &services.engine.journals);
    threads::subscribe(account, journals, &room, &thread_root, automatic.as_deref()).await?;
    Ok(subscribe::Response::new())
}

/// `DELETE /_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription`
async fn unfollow(
    services: Arc<Services>,
    request: Ruma<unsubscribe::Request>,
) -> Result<unsubscribe::Response, Error> {
    let unsubscribe::Request { room_id, thread_root, .. } = request.body;
    let room = room(&services, &request.session, &room_id).await?;
    threads::unsubscribe(request.session.account(), &services.engine.journals, &room, &thread_root).await?;
    Ok(unsubscribe::Response::new())
}

/// `GET /_matrix/client/unstable/io.element.msc4308/thread_subscriptions`
async fn subscriptions(_services: Arc<Services>, request: Ruma<all::Request>) -> Result<all::Response, Error> {
    let limit = request.body.limit.and_then(|limit| usize::try_from(u64::from(limit)).ok());
    let most = limit.unwrap_or(PAGE).clamp(1, PAGE);
    let vault = request.session.account().view();
    let page = threads::page(&vault, Some(0), request.body.from.as_deref(), most);
    let mut response = all::Response::new();
    for (room, root, thread) in page.threads {
        let stamp = UInt::try_from(thread.version).unwrap_or(UInt::MAX);
        if thread.subscribed {
            let shown = ThreadSubscription::new(thread.automatic, stamp);
            response.subscribed.entry(room).or_default().insert(root, shown);
        } else {
            response.unsubscribed.entry(room).or_default().insert(root, ThreadUnsubscription::new(stamp));
        }
    }
    response.end = page.end;
    Ok(response)
}

/// The room, as far as its user may know that it exists.
async fn room(services: &Services, session: &Session, id: &OwnedRoomId) -> Result<Arc<Room>, Error> {
    let room = services.engine.rooms.joined(id, session.account()).await;
    room.map_err(|_| Error::not_found("Unknown thread"))
}
