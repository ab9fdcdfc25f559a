//! Joining, leaving, inviting, removing, and who is in a room
//! ([spec](https://spec.matrix.org/latest/client-server-api/#room-membership)).

use std::sync::Arc;

use ruma::{
    OwnedRoomOrAliasId,
    api::client::{
        knock::knock_room::v3 as knock,
        membership::{
            ban_user::v3 as ban,
            forget_room::v3 as forget,
            get_member_events::v3 as members,
            invite_user::v3::{self as invite, InvitationRecipient},
            join_room_by_id::v3 as join,
            join_room_by_id_or_alias::v3 as join_any,
            joined_members::v3::{self as joined_members, RoomMember},
            joined_rooms::v3 as joined_rooms,
            kick_user::v3 as kick,
            leave_room::v3 as leave,
            unban_user::v3 as unban,
        },
    },
    serde::Raw,
};

use crate::{
    accounts::vault::Fact,
    api::{Routes, Ruma, RumaRouter, Services, Session, history::gap},
    error::Error,
    event::Shape,
    rooms::{
        Change,
        show::{Viewer, as_it_stands, show_state},
    },
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

/// `POST /_matrix/client/v3/rooms/{roomId}/join`
async fn join_by_id(services: Arc<Services>, request: Ruma<join::Request>) -> Result<join::Response, Error> {
    let name = request.body.room_id.clone().into();
    enter(&services, &request.session, name, request.body.reason).await?;
    Ok(join::Response::new(request.body.room_id))
}

/// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
async fn join_by_name(services: Arc<Services>, request: Ruma<join_any::Request>) -> Result<join_any::Response, Error> {
    let join_any::Request { room_id_or_alias, reason, .. } = request.body;
    let id = enter(&services, &request.session, room_id_or_alias, reason).await?;
    Ok(join_any::Response::new(id))
}

async fn enter(
    services: &Services,
    session: &Session,
    name: OwnedRoomOrAliasId,
    reason: Option<String>,
) -> Result<ruma::OwnedRoomId, Error> {
    let (rooms, account) = (&services.engine.rooms, session.account());
    let room = rooms.reach(&rooms.named(&name)?, account).await?;
    rooms.enter_room(&room, account, because(reason)).await?;
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
async fn list_joined_members(
    services: Arc<Services>,
    request: Ruma<joined_members::Request>,
) -> Result<joined_members::Response, Error> {
    let room = services.engine.rooms.joined(&request.body.room_id, request.session.account()).await?;
    let view = room.view();
    let joined =
        view.state.members().filter(|(_, membership, _)| membership.as_str() == "join").map(|(user, _, event)| {
            let mut member = RoomMember::new();
            member.display_name = event.content_str("displayname");
            member.avatar_url = event.content_str("avatar_url").filter(|url| !url.is_empty()).map(Into::into);
            (user.to_owned(), member)
        });
    Ok(joined_members::Response::new(joined.collect()))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/members`
async fn list_members(services: Arc<Services>, request: Ruma<members::Request>) -> Result<members::Response, Error> {
    let members::Request { room_id, at, membership, not_membership, .. } = request.body;
    let rooms = &services.engine.rooms;
    let room = rooms.readable(&room_id, request.session.account()).await?;
    let view = room.view();
    // Of a moment that is not known any more, the members of now are told.
    let at = at.and_then(|at| gap(&services, &request.session, &room_id, Some(&at)).ok().flatten());
    let state = at.and_then(|at| view.timeline.get(view.index_of(at))).map_or(&view.state, |entry| &entry.before);
    let viewer = Viewer { user: &request.session.user_id, device: Some(&request.session.device_id) };
    let chunk = state.members().filter(|(_, is, _)| {
        membership.as_ref().is_none_or(|only| only == is) && not_membership.as_ref().is_none_or(|not| not != is)
    });
    let now = services.clock.now();
    let shown = chunk.map(|(_, _, event)| show_state(&view, &as_it_stands(&view, event), &viewer, now, Shape::Full));
    Ok(members::Response::new(shown.map(Raw::from_json).collect()))
}
