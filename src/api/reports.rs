//! Reporting what should not be ([spec](https://spec.matrix.org/latest/client-server-api/#reporting-content)): for the
//! administrators.

use std::sync::Arc;

use ruma::api::client::{
    reporting::report_user::v3 as report_user,
    room::{report_content::v3 as report_event, report_room::v3 as report_room},
};

use crate::{
    accounts::{LONGEST_REASON, Subject},
    api::{Routes, Ruma, RumaRouter, Services, Session},
    error::Error,
    rooms::{Error as RoomError, history::seen},
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(report_an_event).ruma(report_a_room).ruma(report_a_user)
}

/// `POST /_matrix/client/v3/rooms/{roomId}/report/{eventId}`
async fn report_an_event(
    services: Arc<Services>,
    request: Ruma<report_event::Request>,
) -> Result<report_event::Response, Error> {
    let report_event::Request { room_id, event_id, reason, .. } = request.body;
    let unknown = || Error::not_found("Unknown event");
    let room = services.engine.rooms.joined(&room_id, request.session.account()).await.map_err(|_| unknown())?;
    let view = room.view();
    let sender = seen(&view, &request.session.user_id, &event_id).ok_or_else(unknown)?.sender().to_owned();
    let subject = Subject { room: Some(room_id), event: Some(event_id), user: Some(sender) };
    keep(&services, &request.session, subject, reason).await?;
    Ok(report_event::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/report`
async fn report_a_room(
    services: Arc<Services>,
    request: Ruma<report_room::Request>,
) -> Result<report_room::Response, Error> {
    let report_room::Request { room_id, reason, .. } = request.body;
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let room = rooms.reach(&room_id, account).await?;
    if !rooms.may_know(&room, &account.user_id) && !account.view().rooms.contains_key(&room_id) {
        return Err(RoomError::UnknownRoom.into());
    }
    keep(&services, &request.session, Subject { room: Some(room_id), ..Subject::default() }, Some(reason)).await?;
    Ok(report_room::Response::new())
}

/// `POST /_matrix/client/v3/users/{userId}/report`
async fn report_a_user(
    services: Arc<Services>,
    request: Ruma<report_user::Request>,
) -> Result<report_user::Response, Error> {
    let report_user::Request { user_id, reason, .. } = request.body;
    if !services.engine.accounts.exists(&user_id)? {
        return Err(Error::not_found("Unknown user"));
    }
    keep(&services, &request.session, Subject { user: Some(user_id), ..Subject::default() }, Some(reason)).await?;
    Ok(report_user::Response::new())
}

async fn keep(services: &Services, session: &Session, subject: Subject, reason: Option<String>) -> Result<(), Error> {
    let reason = reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Error::invalid_param("The reason is too long"));
    }
    Ok(services.engine.accounts.report(&session.user_id, subject, reason).await?)
}
