//! Which endpoints need an account in which standing: a locked account may log out, a suspended one may not take part
//! ([locking](https://spec.matrix.org/latest/client-server-api/#account-locking),
//! [suspension](https://spec.matrix.org/latest/client-server-api/#account-suspension)).

use ruma::api::{IncomingRequest, path_builder::PathBuilder};

use crate::{accounts::Standing, api::ruma::route_template, error::Error};

/// What an endpoint needs of the account that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: logging out.
    Nothing,
    /// That it is not locked.
    Unlocked,
    /// That it is not suspended either: taking part.
    Good,
}

/// What somebody who is locked may still do.
const LEAVES: &[&str] = &["POST /_matrix/client/v3/logout", "POST /_matrix/client/v3/logout/all"];

/// What takes part: rooms, memberships, messages, state, profiles and names. A redaction is not among these: of his own
/// events it is allowed, and its handler decides.
const TAKES_PART: &[&str] = &[
    "POST /_matrix/client/v3/createRoom",
    "POST /_matrix/client/v3/join/{p4}",
    "POST /_matrix/client/v3/rooms/{p4}/join",
    "POST /_matrix/client/v3/knock/{p4}",
    "POST /_matrix/client/v3/rooms/{p4}/invite",
    "POST /_matrix/client/v3/rooms/{p4}/kick",
    "POST /_matrix/client/v3/rooms/{p4}/ban",
    "POST /_matrix/client/v3/rooms/{p4}/unban",
    "POST /_matrix/client/v3/rooms/{p4}/upgrade",
    "PUT /_matrix/client/v3/rooms/{p4}/send/{p6}/{p7}",
    "PUT /_matrix/client/v3/rooms/{p4}/state/{p6}/{p7}",
    "PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{p5}/delayed_event/{p7}/{p8}",
    "PUT /_matrix/client/v3/profile/{p4}/{p5}",
    "DELETE /_matrix/client/v3/profile/{p4}/{p5}",
    "PUT /_matrix/client/v3/directory/room/{p5}",
    "DELETE /_matrix/client/v3/directory/room/{p5}",
    "PUT /_matrix/client/v3/directory/list/room/{p6}",
];

impl Needs {
    /// What the endpoint of `R` needs.
    #[must_use]
    pub fn of<R: IncomingRequest>() -> Self {
        let is_in = |list: &[&str]| {
            let paths = R::PATH_BUILDER;
            let mut endpoints = paths.all_paths().map(|path| format!("{} {}", R::METHOD, route_template(path)));
            endpoints.any(|endpoint| list.contains(&endpoint.as_str()))
        };
        if is_in(LEAVES) {
            Self::Nothing
        } else if is_in(TAKES_PART) {
            Self::Good
        } else {
            Self::Unlocked
        }
    }

    /// Whether an account of this standing may go on.
    ///
    /// # Errors
    /// `M_USER_LOCKED` and `M_USER_SUSPENDED`.
    pub(super) fn check(self, standing: Standing) -> Result<(), Error> {
        match (self, standing) {
            (Self::Unlocked | Self::Good, Standing::Locked) => Err(Error::user_locked("The account is locked")),
            (Self::Good, Standing::Suspended) => Err(Error::user_suspended("The account is suspended")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::api::client::{
        membership::invite_user, room::create_room, session::logout, state::send_state_event, sync,
    };

    use super::*;

    #[test]
    fn endpoints_are_recognised_by_their_paths() {
        assert_eq!(Needs::of::<logout::v3::Request>(), Needs::Nothing);
        assert_eq!(Needs::of::<create_room::v3::Request>(), Needs::Good);
        assert_eq!(Needs::of::<invite_user::v3::Request>(), Needs::Good);
        assert_eq!(Needs::of::<send_state_event::v3::Request>(), Needs::Good);
        assert_eq!(Needs::of::<sync::sync_events::v3::Request>(), Needs::Unlocked);
    }
}
