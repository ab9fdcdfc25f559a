//! What the layers say, as clients see it.

use std::time::Duration;

use super::Error;
use crate::{
    accounts, delayed, e2ee, house, journal, push, rooms, search,
    sync::{self, sliding},
};

/// When a client that was told to come back may do so.
const SOON: Duration = Duration::from_secs(2);

impl From<journal::Error> for Error {
    fn from(error: journal::Error) -> Self {
        crate::log::error!("a journal failed", reason = rooms::Error::from(error).reason());
        Self::internal()
    }
}

impl From<house::Error> for Error {
    fn from(error: house::Error) -> Self {
        match error {
            house::Error::Asleep => Self::unavailable("The server is asleep until somebody logs in"),
            house::Error::Journal(error) => error.into(),
        }
    }
}

impl From<crate::media::Error> for Error {
    fn from(error: crate::media::Error) -> Self {
        use crate::media::Error as E;
        match error {
            E::NotFound => Self::not_found("Unknown media"),
            E::NotYetUploaded => Self::not_yet_uploaded("The content has not been uploaded yet"),
            E::Overwrites => Self::cannot_overwrite_media("There is content already"),
            E::NotYours => Self::forbidden("Somebody else made this id"),
            E::TooManyPending => Self::limit_exceeded(SOON),
            E::TooLarge => Self::too_large("The upload is too large"),
            E::Incomplete => Self::bad_request("The upload is incomplete"),
            E::Quota => Self::forbidden("You have uploaded as much as you may"),
            E::NoPreviews => Self::unrecognised("Pages are not previewed"),
            E::NotAnAddress => Self::invalid_param("Not the address of a page"),
            // The same for whatever went wrong: what answers where is not for everybody to find out.
            E::NoPage => Self::bad_gateway("The page cannot be loaded"),
            E::NotAPicture => Self::bad_request("There is no thumbnail of this"),
            E::PictureTooLarge => Self::too_large("The picture is too large for a thumbnail"),
            E::Segment => {
                crate::log::error!("a segment of media cannot be read or written");
                Self::internal()
            }
            E::Journal(error) => error.into(),
        }
    }
}

impl From<accounts::Error> for Error {
    fn from(error: accounts::Error) -> Self {
        use accounts::Error as E;
        match error {
            E::Forbidden => Self::wrong_credentials("Wrong user name or password"),
            E::UnknownToken => Self::unknown_token(false),
            E::SoftLogout => Self::unknown_token(true),
            E::Locked => Self::user_locked("The account is locked"),
            E::Taken => Self::user_in_use("The user name is taken"),
            E::InvalidName => Self::invalid_username("The user name is not allowed"),
            E::WeakPassword => Self::weak_password("The password is too easy to guess"),
            E::Busy => Self::limit_exceeded(SOON),
            E::NotFound => Self::not_found("Not found"),
            E::TooMany => Self::forbidden("The account has too many of these"),
            E::House(error) => error.into(),
            E::Journal(error) => error.into(),
        }
    }
}

impl From<sliding::Error> for Error {
    fn from(error: sliding::Error) -> Self {
        use sliding::Error as E;
        match error {
            E::UnknownPos => Self::unknown_pos("The position is not known any more"),
            E::Malformed => Self::bad_json("Not a sliding sync request"),
            E::TooMuch => Self::invalid_param("The request asks for too much"),
            E::Account(error) => error.into(),
            E::House(error) => error.into(),
        }
    }
}

impl From<accounts::ProfileError> for Error {
    fn from(error: accounts::ProfileError) -> Self {
        match error {
            accounts::ProfileError::FieldTooLong => Self::key_too_large("The name of the profile field is too long"),
            accounts::ProfileError::TooLarge => Self::profile_too_large("The profile is too large"),
            accounts::ProfileError::Account(error) => error.into(),
        }
    }
}

impl From<rooms::Error> for Error {
    fn from(error: rooms::Error) -> Self {
        use rooms::Error as E;
        match error {
            E::UnknownRoom => Self::not_found("Unknown room"),
            E::NotJoined => Self::forbidden("You are not in this room"),
            E::Forbidden | E::Rejected(_) => Self::forbidden("You are not allowed to do this"),
            E::Event(crate::event::Error::TooLarge) => Self::too_large("The event is too large"),
            E::Event(crate::event::Error::FieldTooLong) => Self::too_large("A field of the event is too long"),
            E::Event(_) => Self::bad_json("The event is not canonical JSON"),
            E::InvalidState => Self::invalid_room_state("The room's state cannot be made like this"),
            E::Unchangeable => Self::bad_state("The room's state cannot be changed like this"),
            E::BadLevels => Self::bad_json("The power levels are not levels"),
            E::UnsupportedVersion => Self::unsupported_room_version("The room version is not supported"),
            E::UnknownUser => Self::not_found("Unknown user"),
            E::InviteBlocked => Self::invite_blocked("The user does not accept invitations"),
            E::StillIn => Self::bad_request("Leave the room before you forget it"),
            E::NoFederation => Self::forbidden("Other servers cannot be reached"),
            E::UnknownEvent => Self::not_found("Unknown event"),
            E::UnknownAlias => Self::not_found("Unknown alias"),
            E::AliasExists => Self::alias_conflict("The alias exists already"),
            E::InvalidAlias => Self::invalid_param("The alias is not one of this server"),
            E::BadAlias => Self::bad_alias("The alias does not lead to this room"),
            E::DuplicateAnnotation => Self::duplicate_annotation("You have annotated this event with the same key"),
            E::OtherThread => Self::invalid_param("The event is not part of the thread"),
            E::NestedThread => Self::bad_request("A thread cannot start at an event that relates to another"),
            E::BadToken => Self::invalid_param("The token is not one of this room"),
            E::TooMany => Self::bad_request("Too many for one request"),
            E::TooMuchState => Self::forbidden("The room has too much state"),
            E::TooManyRooms => Self::forbidden("The account has too many rooms"),
            E::NoNotices => Self::bad_request("There is no name to send notices under, or an account has it"),
            E::NoticeInvite => Self::cannot_leave_room("An invitation to a room for notices cannot be turned down"),
            E::Cold => Self::unavailable("The account is cold: nobody has used it since the server started"),
            E::NobodyVouches => Self::unable_to_authorise_join("Nobody here can let you in"),
            E::AliasTaken => Self::room_in_use("The alias is taken"),
            E::Account(error) => error.into(),
            E::House(error) => error.into(),
            E::Journal(error) => error.into(),
        }
    }
}

impl From<delayed::Error> for Error {
    fn from(error: delayed::Error) -> Self {
        use delayed::Error as E;
        match error {
            E::TooLong => Self::delay_too_long(delayed::MOST_DELAY),
            E::TooMany => Self::too_many_delayed(),
            E::NotFound => Self::not_found("No such event waits to be sent"),
            E::Barred => Self::user_suspended("The account may not take part"),
            E::Room(error) => error.into(),
            E::Journal(error) => error.into(),
        }
    }
}

impl From<search::Error> for Error {
    fn from(error: search::Error) -> Self {
        match error {
            search::Error::Busy => Self::limit_exceeded(SOON),
            search::Error::BadToken => Self::invalid_param("The token is not one of your searches"),
            search::Error::Failed => Self::internal(),
        }
    }
}

impl From<e2ee::Error> for Error {
    fn from(error: e2ee::Error) -> Self {
        use e2ee::Error as E;
        match error {
            E::NotYours => Self::bad_json("The keys name another user or device"),
            E::Malformed => Self::bad_json("The keys have an unexpected shape"),
            // Clients look for these words to learn that they have lost track of their keys.
            E::Exists => Self::bad_request("One time key already exists"),
            E::TooLarge => Self::too_large("A key or message is too large"),
            E::TooMany => Self::bad_request("Too many at once"),
            E::InvalidSignature => Self::invalid_signature("A signature is missing or wrong"),
            E::NoMaster => Self::missing_param("There is no master key"),
            E::Unauthorised => Self::forbidden("Replacing keys needs authentication"),
            E::DeviceInUse => Self::invalid_param("The device id is that of a device that is logged in"),
            E::NotDehydrated => Self::forbidden("This is not the dehydrated device"),
            E::NotFound => Self::not_found("Not found"),
            E::WrongVersion(current) => Self::wrong_backup_version(current.to_string()),
            E::OtherBackup => Self::invalid_param("The backup cannot be changed like this"),
            E::Account(error) => error.into(),
            E::House(error) => error.into(),
            E::Journal(error) => error.into(),
        }
    }
}

impl From<sync::classic::Error> for Error {
    fn from(error: sync::classic::Error) -> Self {
        use sync::classic::Error as E;
        match error {
            E::Since => Self::invalid_param("This is no sync token of this device"),
            E::Filter => Self::invalid_param("This is no filter of this account"),
            E::House(error) => error.into(),
            E::Account(error) => error.into(),
        }
    }
}

impl From<push::threads::Error> for Error {
    fn from(error: push::threads::Error) -> Self {
        use push::threads::Error as E;
        match error {
            E::Unknown => Self::not_found("Unknown thread"),
            E::NotInThread => Self::not_in_thread("The event is not in this thread"),
            E::Unsubscribed => Self::conflicting_unsubscription("You have stopped following this thread since"),
            E::TooMany => Self::forbidden("The account follows too many threads"),
            E::Journal(error) => error.into(),
        }
    }
}

impl From<push::Error> for Error {
    fn from(error: push::Error) -> Self {
        use push::Error as E;
        match error {
            E::Unknown => Self::not_found("Unknown push rule"),
            E::Invalid => Self::invalid_param("The push rule is not allowed"),
            E::NoPlace => Self::bad_request("before/after rule not found"),
            E::Predefined => Self::invalid_param("A predefined push rule cannot be deleted"),
            E::TooMany => Self::forbidden("The account has too many push rules or pushers"),
            E::Journal(error) => error.into(),
        }
    }
}
