//! What is said over the socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::SecretText;

/// A request of the administrator. An account's `name` is what it logs in with, its Matrix id or the localpart of that.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Lists the accounts.
    UserList,
    /// Makes an account; without a password, one is proposed in the answer.
    UserAdd {
        /// What it logs in with.
        localpart: String,
        /// The password.
        #[serde(with = "secret", default, skip_serializing_if = "Option::is_none")]
        password: Option<SecretText>,
        /// Whether it may administer the server.
        #[serde(default)]
        admin: bool,
    },
    /// Locks an account, or takes that back.
    UserLock {
        /// The account.
        name: String,
        /// Whether it is to be locked.
        locked: bool,
    },
    /// Suspends an account, or takes that back.
    UserSuspend {
        /// The account.
        name: String,
        /// Whether it is to be suspended.
        suspended: bool,
    },
    /// Lets an account administer the server, or no longer.
    UserAdmin {
        /// The account.
        name: String,
        /// Whether it may.
        admin: bool,
    },
    /// Ends an account.
    UserDeactivate {
        /// The account.
        name: String,
        /// Whether rooms forget it.
        #[serde(default)]
        erase: bool,
    },
    /// Ends every device of an account.
    UserLogout {
        /// The account.
        name: String,
    },
    /// Gives an account another password; without one, one is proposed in the answer.
    UserResetPassword {
        /// The account.
        name: String,
        /// The password.
        #[serde(with = "secret", default, skip_serializing_if = "Option::is_none")]
        password: Option<SecretText>,
        /// Whether its devices end.
        #[serde(default)]
        end_devices: bool,
        /// Whether what only the old password opened is given up.
        #[serde(default)]
        abandon: bool,
    },
    /// Tells an account something.
    UserNotice {
        /// The account.
        name: String,
        /// What it is told.
        text: String,
    },
    /// Shows what is kept for how long.
    RetentionShow,
    /// Shows what was reported.
    ReportList,
    /// Lists the rooms that are open.
    RoomList,
    /// Shows a room.
    RoomInfo {
        /// Its id.
        room: String,
    },
    /// Ends a room.
    RoomShred {
        /// Its id.
        room: String,
    },
    /// Forgets a user in a room that they have left.
    RoomErase {
        /// Its id.
        room: String,
        /// The user's Matrix id.
        user: String,
    },
    /// Says how far forgetting has got.
    RetentionState,
    /// Says that the clock is right.
    RetentionConfirmClock,
    /// Makes a registration token.
    TokenCreate {
        /// How many accounts it is good for; any number when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uses: Option<u32>,
        /// After how many seconds it dies; never when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_in: Option<u64>,
    },
    /// Lists the registration tokens.
    TokenList,
    /// Makes a backup.
    Backup {
        /// The directory for the data, from the root of the file system.
        data: PathBuf,
        /// The file for the slot table, likewise.
        keys: PathBuf,
    },
    /// Revokes a registration token.
    TokenRevoke {
        /// Its text.
        token: String,
    },
}

/// The server's answer.
#[derive(Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done {
        /// Lines for the administrator's screen.
        lines: Vec<String>,
        /// The same for programs.
        data: Value,
    },
    /// It is not done.
    Failed {
        /// The reason, for the administrator's screen.
        reason: String,
        /// Whether it can be done later: the server is asleep, or an account or room is cold.
        later: bool,
    },
}

impl Answer {
    /// It is not done because of `reason`.
    #[must_use]
    pub fn failed(reason: &'static str) -> Self {
        Self::Failed { reason: reason.to_owned(), later: false }
    }
}

/// Passwords cross the socket as they are: both ends belong to the same user.
mod secret {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::secret::SecretText;

    #[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(value: &Option<SecretText>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(SecretText::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretText>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(SecretText::new))
    }
}
