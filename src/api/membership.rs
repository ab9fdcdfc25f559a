//! Joining, leaving, inviting, removing, and who is in a room
//! ([spec](https://spec.matrix.org/latest/client-server-api/#room-membership)).

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, OwnedRoomOrAliasId,
    api::client::{
        knock::knock_room::v3 as knock,
        membership::{
            ban_user::v3 as ban,
            forget_room::v3 as forget,
            get_member_events::v3 as members,
            invite_user::v3::{self as invite, InvitationRecipient},
            join_room_by_id::v3 as join,
            join_room_by_id_or_alias::v3 as join_any,
            joined_members::v3 as joined_members,
            joined_rooms::v3 as joined_rooms,
            kick_user::v3 as kick,
            leave_room::v3 as leave,
            unban_user::v3 as unban,
        },
    },
    events::room::member::MembershipState,
};
use serde_json::{Map, json};

use crate::{
    accounts::vault::Fact,
    api::{
        Routes, Ruma, RumaRouter, Services, Session,
        history::{Shower, gap},
        json::Json,
    },
    error::Error,
    rooms::Change,
};

pub(super) fn routes(router: Routes) -> Routes {
    router
        .ruma(join_by_id)
        .ruma(join_by_name)
        .ruma(knock_room)
        .ruma(invite_user)
        .ruma(leave_room)
        .ruma(kick_user)
        .ruma(ban_user)
        .ruma(unban_user)
        .ruma(forget_room)
        .ruma(list_joined_rooms)
        .ruma(list_joined_members)
        .ruma(list_members)
}

fn because(reason: Option<String>) -> Change {
    Change { reason, ..Change::default() }
}

/// A join with the reason and whatever else the client put into the body, as clients have come to expect.
fn joining(raw: &[u8], reason: Option<String>) -> Result<Change, Error> {
    let mut extra: CanonicalJsonObject = match raw {
        [] => CanonicalJsonObject::new(),
        raw => serde_json::from_slice(raw).map_err(|_| Error::bad_json("The body is not canonical JSON"))?,
    };
    extra.remove("third_party_signed");
    Ok(Change { reason, extra, ..Change::default() })
}

/// `POST /_matrix/client/v3/rooms/{roomId}/join`
async fn join_by_id(services: Arc<Services>, request: Ruma<join::Request>) -> Result<join::Response, Error> {
    let name = request.body.room_id.clone().into();
    let change = joining(&request.raw, request.body.reason)?;
    enter(&services, &request.session, name, change).await?;
    Ok(join::Response::new(request.body.room_id))
}

/// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
async fn join_by_name(services: Arc<Services>, request: Ruma<join_any::Request>) -> Result<join_any::Response, Error> {
    let join_any::Request { room_id_or_alias, reason, .. } = request.body;
    let change = joining(&request.raw, reason)?;
    let id = enter(&services, &request.session, room_id_or_alias, change).await?;
    Ok(join_any::Response::new(id))
}

async fn enter(
    services: &Services,
    session: &Session,
    name: OwnedRoomOrAliasId,
    change: Change,
) -> Result<ruma::OwnedRoomId, Error> {
    let (rooms, account) = (&services.engine.rooms, session.account());
    let room = rooms.reach(&rooms.named(&name)?, account).await?;
    services.sliding.joining(&session.inner, &room.id);
    rooms.enter_room(&room, account, change).await?;
    Ok(room.id.clone())
}

/// `POST /_matrix/client/v3/knock/{roomIdOrAlias}`
async fn knock_room(services: Arc<Services>, request: Ruma<knock::Request>) -> Result<knock::Response, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let room = rooms.reach(&rooms.named(&request.body.room_id_or_alias)?, account).await?;
    rooms.knock(&room, account, because(request.body.reason)).await?;
    Ok(knock::Response::new(room.id.clone()))
}

/// `POST /_matrix/client/v3/rooms/{roomId}/invite`
async fn invite_user(services: Arc<Services>, request: Ruma<invite::Request>) -> Result<invite::Response, Error> {
    let InvitationRecipient::UserId(target) = request.body.recipient else {
        return Err(Error::threepid_denied("Third-party identifiers are not supported"));
    };
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let room = rooms.joined(&request.body.room_id, account).await?;
    rooms.invite(&room, &account.user_id, &target.user_id, because(target.reason)).await?;
    Ok(invite::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/leave`
async fn leave_room(services: Arc<Services>, request: Ruma<leave::Request>) -> Result<leave::Response, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let leave::Request { room_id, reason, .. } = request.body;
    rooms.leave(&room_id, account, because(reason)).await?;
    Ok(leave::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/kick`
async fn kick_user(services: Arc<Services>, request: Ruma<kick::Request>) -> Result<kick::Response, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let kick::Request { room_id, user_id, reason, .. } = request.body;
    let room = rooms.joined(&room_id, account).await?;
    rooms.kick(&room, &account.user_id, &user_id, because(reason)).await?;
    Ok(kick::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/ban`
async fn ban_user(services: Arc<Services>, request: Ruma<ban::Request>) -> Result<ban::Response, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let ban::Request { room_id, user_id, reason, .. } = request.body;
    let room = rooms.joined(&room_id, account).await?;
    rooms.put_out(&room, &account.user_id, &user_id, true, because(reason)).await?;
    Ok(ban::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/unban`
async fn unban_user(services: Arc<Services>, request: Ruma<unban::Request>) -> Result<unban::Response, Error> {
    let (rooms, account) = (&services.engine.rooms, request.session.account());
    let unban::Request { room_id, user_id, reason, .. } = request.body;
    let room = rooms.joined(&room_id, account).await?;
    rooms.unban(&room, &account.user_id, &user_id, because(reason)).await?;
    Ok(unban::Response::new())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/forget`
async fn forget_room(services: Arc<Services>, request: Ruma<forget::Request>) -> Result<forget::Response, Error> {
    let account = request.session.account();
    services.engine.rooms.forget(&request.body.room_id, account).await?;
    Ok(forget::Response::new())
}

/// `GET /_matrix/client/v3/joined_rooms`
async fn list_joined_rooms(
    _services: Arc<Services>,
    request: Ruma<joined_rooms::Request>,
) -> Result<joined_rooms::Response, Error> {
    let vault = request.session.account().view();
    let joined = vault.rooms.iter().filter(|(_, entry)| entry.fact == Fact::Joined);
    Ok(joined_rooms::Response::new(joined.map(|(id, _)| id.clone()).collect()))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
async fn list_joined_members(services: Arc<Services>, request: Ruma<joined_members::Request>) -> Result<Json, Error> {
    let room = services.engine.rooms.joined(&request.body.room_id, request.session.account()).await?;
    let view = room.view();
    let joined = view.state.members().filter(|(_, membership, _)| *membership == MembershipState::Join);
    let joined = joined.map(|(user, _, event)| {
        // Clients look for both fields, also where there is nothing in them. A name may then be empty (spec: a text); no
        // address of media may, so there is none.
        let name = event.content_str("displayname").unwrap_or_default();
        let avatar = event.content_str("avatar_url").filter(|url| !url.is_empty());
        (user.to_string(), json!({"display_name": name, "avatar_url": avatar}))
    });
    Ok(Json(json!({"joined": joined.collect::<Map<_, _>>()})))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/members`
async fn list_members(services: Arc<Services>, request: Ruma<members::Request>) -> Result<members::Response, Error> {
    let members::Request { room_id, at, membership, not_membership, .. } = request.body;
    let rooms = &services.engine.rooms;
    let reading = rooms.readable(&room_id, request.session.account()).await?;
    // Of a moment that is not known any more, the members of now are told.
    let at = at.and_then(|at| gap(&services, &request.session, &room_id, Some(&at)).ok().flatten());
    let state = at.map_or_else(|| reading.state(), |at| reading.state_at(at, &request.session.user_id));
    // Both at once ask for members who are the one or are not the other (spec).
    let wanted = |is: &MembershipState| match (&membership, &not_membership) {
        (None, None) => true,
        (only, not) => only.as_ref() == Some(is) || not.as_ref().is_some_and(|not| not != is),
    };
    let shower = Shower::new(&services, &reading.view, &request.session);
    let chunk = state.members().filter(|(_, is, _)| wanted(is)).map(|(_, _, event)| shower.state(event));
    Ok(members::Response::new(chunk.collect()))
}
