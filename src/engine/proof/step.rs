//! The operations of the key protocol as values.

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Register {
        name: String,
        password: String,
        refresh: bool,
    },
    Login {
        name: String,
        refresh: bool,
    },
    /// The device of `token` logs in again.
    Relogin {
        name: String,
        token: String,
    },
    Logout {
        name: String,
        token: String,
        by: Option<String>,
    },
    Password {
        name: String,
        token: String,
        new: String,
        end_others: bool,
    },
    /// An administrator locks an account, or unlocks it, while somebody is awake.
    Lock {
        name: String,
        on: bool,
    },
    /// An administrator sets a password: at once when the account is open, else it waits for the account.
    Reset {
        name: String,
        new: String,
        end_devices: bool,
        open: bool,
    },
    /// An administrator sets a password and gives up what the account had.
    Abandon {
        name: String,
        new: String,
        open: bool,
    },
    Secret {
        name: String,
        fact: u32,
    },
    /// An account may administer the server from now on.
    Administer {
        name: String,
    },
    /// Tells the administrators something.
    Report {
        by: String,
        fact: u32,
    },
    Generation {
        awake: Vec<String>,
    },
    /// Upkeep replaces the key of the house.
    HouseKey,
    /// Upkeep replaces the keys of the rooms that are open.
    RoomKeys,
    /// A month passes, so that everything said before has expired; the keeper looks.
    Month,
    /// Ends an account that is open, or one that is cold while another is awake.
    Deactivate {
        name: String,
        erase: bool,
        open: bool,
    },
    Wake {
        name: String,
    },
    Create {
        by: String,
        label: u32,
        public: bool,
        invite: Vec<String>,
    },
    Invite {
        room: u32,
        by: String,
        who: String,
    },
    Join {
        room: u32,
        who: String,
    },
    Knock {
        room: u32,
        who: String,
    },
    Out {
        room: u32,
        by: String,
        who: String,
        ban: bool,
    },
    Access {
        room: u32,
        by: String,
        public: bool,
    },
    /// The room becomes one that the members of `hall` may join.
    Restrict {
        room: u32,
        by: String,
        hall: u32,
    },
    Send {
        room: u32,
        by: String,
        fact: u32,
    },
    State {
        room: u32,
        by: String,
        fact: u32,
    },
    Redact {
        room: u32,
        by: String,
        fact: u32,
    },
    /// An administrator has a room forget somebody who has left it.
    Erase {
        room: u32,
        by: String,
        who: String,
    },
    /// An administrator ends a room, while `by`, who is in it, is open; or while it is closed.
    Shred {
        room: u32,
        by: String,
        open: bool,
    },
    /// Upkeep takes what was redacted off the disk, in the rooms that are open.
    Rewrite {
        rooms: Vec<u32>,
    },
}

impl Step {
    /// The label of the room it happens in.
    pub(super) fn room(&self) -> Option<u32> {
        match self {
            Self::Invite { room, .. }
            | Self::Join { room, .. }
            | Self::Knock { room, .. }
            | Self::Out { room, .. }
            | Self::Access { room, .. }
            | Self::Restrict { room, .. }
            | Self::Send { room, .. }
            | Self::State { room, .. }
            | Self::Redact { room, .. }
            | Self::Erase { room, .. } => Some(*room),
            _ => None,
        }
    }
}

/// A name as steps have it.
pub(super) fn s(name: &str) -> String {
    name.to_owned()
}
