//! What is said over the socket.

use serde::{Deserialize, Serialize};

use crate::secret::SecretText;

/// A request of the administrator.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Makes an account; without a password, one is proposed in the answer.
    UserAdd {
        /// The part before the colon.
        localpart: String,
        /// The password.
        #[serde(with = "secret", default, skip_serializing_if = "Option::is_none")]
        password: Option<SecretText>,
    },
    /// Makes a registration token.
    TokenCreate {
        /// How many accounts it is good for; any number when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uses: Option<u32>,
        /// After how many seconds it dies; never when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_in: Option<u64>,
    },
}

/// The server's answer.
#[derive(Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Answer {
    /// It is done; lines for the administrator's screen.
    Done {
        /// What to show.
        lines: Vec<String>,
    },
    /// It is not done, and why.
    Failed {
        /// The reason, for the administrator's screen.
        reason: String,
    },
}

impl Answer {
    /// It is not done because of `reason`.
    #[must_use]
    pub fn failed(reason: &'static str) -> Self {
        Self::Failed { reason: reason.to_owned() }
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
