//! The pure plan of `POST /createRoom` (spec: client-server API, room creation): which events make the room, in which order.

use ruma::{
    Int, OwnedRoomAliasId, OwnedUserId, RoomId, RoomVersionId, UserId,
    canonical_json::{CanonicalJsonObject, CanonicalJsonValue as Json},
    room_version_rules::{AuthorizationRules, RoomIdFormatVersion, RoomVersionRules},
};

use super::lifetime::{RETENTION, UNSTABLE};
use crate::event::{Draft, rules_of};

/// The most users one request may invite: each costs a signed event.
pub const MAX_INVITES: usize = 100;

/// The most events of `initial_state`: each is a signed event.
pub const MAX_INITIAL_STATE: usize = 100;

/// Why a room cannot be made as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The room version is not one this server creates.
    #[error("unsupported room version")]
    UnsupportedRoomVersion,
    /// The state asked for contradicts itself or the room version.
    #[error("invalid room state")]
    InvalidRoomState,
    /// More invitations than [`MAX_INVITES`], or more state than [`MAX_INITIAL_STATE`].
    #[error("too many events for one request")]
    TooMany,
}

/// A set of defaults a client chooses by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preset {
    /// By invitation; history shared; guests may join.
    Private,
    /// As private, and those invited are as powerful as the creator.
    TrustedPrivate,
    /// Open to all; no guests.
    Public,
}

/// A state event a client wants in the new room.
#[derive(Clone)]
pub struct InitialState {
    /// Its type.
    pub kind: String,
    /// Its state key.
    pub state_key: String,
    /// Its content.
    pub content: CanonicalJsonObject,
}

/// Somebody in the new room, with the profile fields (`displayname`, `avatar_url`) of his member event.
#[derive(Clone)]
pub struct Person {
    /// Who.
    pub user: OwnedUserId,
    /// What others may see of his profile.
    pub profile: CanonicalJsonObject,
}

/// A request, its defaults filled in by [`plan`].
#[derive(Clone)]
pub struct CreateRoom {
    /// Who creates the room.
    pub creator: Person,
    /// The room's version.
    pub version: RoomVersionId,
    /// The preset; [`Preset::Public`] for a published room and [`Preset::Private`] for any other when none is named.
    pub preset: Option<Preset>,
    /// Whether the room is published in the directory.
    pub published: bool,
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.topic`.
    pub topic: Option<String>,
    /// `m.room.canonical_alias`; the caller registers it.
    pub alias: Option<OwnedRoomAliasId>,
    /// The content of the event that says how long messages live, where `initial_state` has none.
    pub retention: Option<CanonicalJsonObject>,
    /// More state; it wins over the preset.
    pub initial_state: Vec<InitialState>,
    /// More content of `m.room.create`.
    pub creation_content: CanonicalJsonObject,
    /// Replaces fields of the default power levels.
    pub power_level_content_override: CanonicalJsonObject,
    /// Who is invited.
    pub invite: Vec<Person>,
    /// Whether the invitations are to a direct chat.
    pub is_direct: bool,
}

/// The events that make the room, in order.
pub struct Plan {
    /// The rules of the room's version.
    pub rules: RoomVersionRules,
    /// The events, create first. None names a room yet: see [`Plan::place`].
    pub drafts: Vec<Draft>,
}

impl Plan {
    /// Whether the room's id is the hash of its create event: then that one is built before the others can be placed.
    #[must_use]
    pub fn names_itself(&self) -> bool {
        self.rules.room_id_format == RoomIdFormatVersion::V2
    }

    /// Puts every event into the room. The create event of a room that names itself stays without one.
    pub fn place(&mut self, room_id: &RoomId) {
        let skipped = usize::from(self.names_itself());
        for draft in self.drafts.iter_mut().skip(skipped) {
            draft.room_id = Some(room_id.to_owned());
        }
    }
}

/// Plans the room.
///
/// # Errors
/// As [`CreateError`] says; whether the result is allowed is for the authorisation rules.
pub fn plan(request: &CreateRoom) -> Result<Plan, CreateError> {
    let rules = rules_of(&request.version).ok_or(CreateError::UnsupportedRoomVersion)?;
    check(request, &rules.authorization)?;
    let preset = request.preset.unwrap_or(if request.published { Preset::Public } else { Preset::Private });
    let trusted: Vec<&UserId> = match preset {
        Preset::TrustedPrivate => request.invite.iter().map(|person| &*person.user).collect(),
        Preset::Private | Preset::Public => Vec::new(),
    };
    let mut drafts = Drafts { sender: &request.creator.user, list: Vec::new() };
    let create = create_content(request, &rules.authorization, &trusted)?;
    let creators = creators_of(request, &create, &rules.authorization);
    drafts.add("m.room.create", "", create);
    let joined = member_content(&request.creator, "join", false);
    drafts.add("m.room.member", request.creator.user.as_str(), joined);
    drafts.add("m.room.power_levels", "", power_levels(request, &rules.authorization, &trusted, &creators, preset)?);
    if let Some(alias) = &request.alias {
        drafts.add("m.room.canonical_alias", "", object([("alias", text(alias.as_str()))]));
    }
    preset_state(&mut drafts, preset, &request.initial_state);
    if let Some(content) = request.retention.clone().filter(|_| !says_lifetime(&request.initial_state)) {
        drafts.add(RETENTION, "", content);
    }
    for state in &request.initial_state {
        drafts.add(&state.kind, &state.state_key, state.content.clone());
    }
    if let Some(name) = request.name.as_deref().filter(|name| !name.is_empty()) {
        drafts.add("m.room.name", "", object([("name", text(name))]));
    }
    if let Some(topic) = request.topic.as_deref().filter(|topic| !topic.is_empty()) {
        drafts.add("m.room.topic", "", topic_content(topic));
    }
    for person in &request.invite {
        drafts.add("m.room.member", person.user.as_str(), member_content(person, "invite", request.is_direct));
    }
    let drafts = drafts.list;
    Ok(Plan { rules, drafts })
}

struct Drafts<'a> {
    sender: &'a UserId,
    list: Vec<Draft>,
}

impl Drafts<'_> {
    fn add(&mut self, kind: &str, state_key: &str, content: CanonicalJsonObject) {
        self.list.push(Draft {
            kind: kind.to_owned(),
            sender: self.sender.to_owned(),
            state_key: Some(state_key.to_owned()),
            content,
            redacts: None,
            room_id: None,
        });
    }
}

fn check(request: &CreateRoom, rules: &AuthorizationRules) -> Result<(), CreateError> {
    if request.invite.len() > MAX_INVITES || request.initial_state.len() > MAX_INITIAL_STATE {
        return Err(CreateError::TooMany);
    }
    let made_elsewhere = |state: &InitialState| matches!(state.kind.as_str(), "m.room.create" | "m.room.member");
    let invites_self = request.invite.iter().any(|person| person.user == request.creator.user);
    let mut seen = std::collections::BTreeSet::new();
    let twice = !request.invite.iter().all(|person| seen.insert(&person.user));
    let names_creators = request.creation_content.contains_key("additional_creators");
    if request.initial_state.iter().any(made_elsewhere)
        || invites_self
        || twice
        || (names_creators && !rules.additional_room_creators)
    {
        return Err(CreateError::InvalidRoomState);
    }
    Ok(())
}

fn create_content(
    request: &CreateRoom,
    rules: &AuthorizationRules,
    trusted: &[&UserId],
) -> Result<CanonicalJsonObject, CreateError> {
    let mut content = request.creation_content.clone();
    content.insert("room_version".to_owned(), text(request.version.as_str()));
    if rules.additional_room_creators {
        let mut creators = match content.remove("additional_creators") {
            None => Vec::new(),
            Some(Json::Array(creators)) => creators,
            Some(_) => return Err(CreateError::InvalidRoomState),
        };
        if !creators.iter().all(|name| matches!(name, Json::String(name) if UserId::parse(name.as_str()).is_ok())) {
            return Err(CreateError::InvalidRoomState);
        }
        for user in trusted {
            let user = text(user.as_str());
            if !creators.contains(&user) {
                creators.push(user);
            }
        }
        if !creators.is_empty() {
            content.insert("additional_creators".to_owned(), Json::Array(creators));
        }
    }
    Ok(content)
}

/// Those whose power the version makes unlimited: they must not stand in the power levels.
fn creators_of(request: &CreateRoom, create: &CanonicalJsonObject, rules: &AuthorizationRules) -> Vec<String> {
    if !rules.explicitly_privilege_room_creators {
        return Vec::new();
    }
    let additional = create.get("additional_creators").and_then(Json::as_array).into_iter().flatten();
    let additional = additional.filter_map(Json::as_str).map(ToOwned::to_owned);
    std::iter::once(request.creator.user.to_string()).chain(additional).collect()
}

fn power_levels(
    request: &CreateRoom,
    rules: &AuthorizationRules,
    trusted: &[&UserId],
    creators: &[String],
    preset: Preset,
) -> Result<CanonicalJsonObject, CreateError> {
    let powerful = std::iter::once(&*request.creator.user).chain(trusted.iter().copied());
    let users = powerful.filter(|user| !creators.iter().any(|creator| creator == user.as_str()));
    let users: CanonicalJsonObject = users.map(|user| (user.to_string(), level(100))).collect();
    // Replacing a room is for its creators where they stand above the administrators.
    let tombstone = if rules.explicitly_privilege_room_creators { 150 } else { 100 };
    let events = object([
        ("m.room.avatar", level(50)),
        ("m.room.canonical_alias", level(50)),
        ("m.room.encryption", level(100)),
        ("m.room.history_visibility", level(100)),
        ("m.room.name", level(50)),
        ("m.room.power_levels", level(100)),
        ("m.room.server_acl", level(100)),
        ("m.room.tombstone", level(tombstone)),
    ]);
    let invite = if preset == Preset::Public { 50 } else { 0 };
    let mut content = object([
        ("ban", level(50)),
        ("events", Json::Object(events)),
        ("events_default", level(0)),
        ("invite", level(invite)),
        ("kick", level(50)),
        ("redact", level(50)),
        ("state_default", level(50)),
        ("users", Json::Object(users)),
        ("users_default", level(0)),
    ]);
    content.extend(request.power_level_content_override.clone());
    let Some(Json::Object(listed)) = content.get("users") else { return Err(CreateError::InvalidRoomState) };
    if creators.iter().any(|creator| listed.contains_key(creator)) {
        return Err(CreateError::InvalidRoomState);
    }
    Ok(content)
}

fn preset_state(drafts: &mut Drafts<'_>, preset: Preset, initial: &[InitialState]) {
    let (join_rule, guests) = match preset {
        Preset::Private | Preset::TrustedPrivate => ("invite", "can_join"),
        Preset::Public => ("public", "forbidden"),
    };
    let events = [
        ("m.room.join_rules", "join_rule", join_rule),
        ("m.room.history_visibility", "history_visibility", "shared"),
        ("m.room.guest_access", "guest_access", guests),
    ];
    for (kind, field, value) in events {
        // What the client sets itself would replace this at once; a room that never was public needs no new key.
        if !initial.iter().any(|state| state.kind == kind && state.state_key.is_empty()) {
            drafts.add(kind, "", object([(field, text(value))]));
        }
    }
}

fn says_lifetime(initial: &[InitialState]) -> bool {
    initial.iter().any(|state| matches!(state.kind.as_str(), RETENTION | UNSTABLE) && state.state_key.is_empty())
}

fn member_content(person: &Person, membership: &str, is_direct: bool) -> CanonicalJsonObject {
    let mut content = person.profile.clone();
    content.insert("membership".to_owned(), text(membership));
    if is_direct {
        content.insert("is_direct".to_owned(), Json::Bool(true));
    }
    content
}

/// A topic in its plain form, and once more as one of the forms it could have (spec: `m.room.topic`).
fn topic_content(topic: &str) -> CanonicalJsonObject {
    let plain = Json::Array(vec![Json::Object(object([("body", text(topic))]))]);
    object([("m.topic", Json::Object(object([("m.text", plain)]))), ("topic", text(topic))])
}

fn object<const N: usize>(fields: [(&str, Json); N]) -> CanonicalJsonObject {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(value: &str) -> Json {
    Json::String(value.to_owned())
}

fn level(value: i32) -> Json {
    Json::Integer(Int::from(value))
}

#[cfg(test)]
mod tests;
