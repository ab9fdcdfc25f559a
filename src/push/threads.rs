//! Threads an account follows (MSC4306): what its push rules may ask about an event in a thread.
//!
//! A subscription lies in the vault, with a number that grows whenever it changes: clients keep the later of two answers.
//! That the user stopped following is remembered too, lest his client follows again for an event from before.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};

use crate::{
    accounts::{
        Account,
        vault::{Thread, VaultChange, VaultLedger},
    },
    journal::{self, Journals, Position},
    rooms::{
        Room,
        history::{knows_thread, seen},
    },
};

/// Threads that one account may follow or have followed.
const MOST_THREADS: usize = 5000;

/// Why a subscription does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The user knows no such event.
    #[error("unknown thread")]
    Unknown,
    /// The event that should make the client follow is not in the thread.
    #[error("not in the thread")]
    NotInThread,
    /// The user stopped following after the event that should make his client follow.
    #[error("the user has stopped following")]
    Unsubscribed,
    /// The account has as many as it may.
    #[error("too many threads")]
    TooMany,
    /// The vault failed.
    #[error("the vault failed")]
    Journal(#[from] journal::Error),
}

/// How `account` follows the thread under `root`; nothing when it does not.
///
/// # Errors
/// [`Error::Unknown`] for an event its user may not see.
pub fn subscription(account: &Account, room: &Room, root: &EventId) -> Result<Option<Thread>, Error> {
    knows_thread(&room.view(), &account.user_id, root).then_some(()).ok_or(Error::Unknown)?;
    let known = account.view().threads.get(&(room.id.clone(), root.to_owned())).map(|known| known.value.clone());
    Ok(known.filter(|thread| thread.subscribed))
}

/// Makes `account` follow the thread under `root`: by its user's will, or by itself because of the event `because`.
///
/// # Errors
/// [`Error::Unknown`], [`Error::NotInThread`], [`Error::Unsubscribed`], [`Error::TooMany`].
pub async fn subscribe(
    account: &Account,
    journals: &Journals,
    room: &Room,
    root: &EventId,
    because: Option<&EventId>,
) -> Result<(), Error> {
    let view = room.view();
    let user = &account.user_id;
    knows_thread(&view, user, root).then_some(()).ok_or(Error::Unknown)?;
    let cause = match because {
        None => None,
        Some(id) => {
            let entry = seen(&view, user, id).ok_or(Error::NotInThread)?;
            let within = entry.relation().and_then(|relation| relation.target("m.thread"));
            Some(within.filter(|of| *of == root).map(|_| entry.position).ok_or(Error::NotInThread)?)
        }
    };
    let place = (room.id.clone(), root.to_owned());
    let decide = |vault: &VaultLedger| {
        let known = vault.threads.get(&place).map(|known| &known.value);
        let thread = following(known, cause, vault.threads.len())?;
        let change = thread.map(|thread| VaultChange::Thread(place.0, place.1, Some(thread)));
        Ok::<_, Error>(change.into_iter().collect())
    };
    account.vault.try_change(journals, decide).await?;
    account.notify();
    Ok(())
}

/// Makes `account` stop following the thread under `root`. One it does not follow stays as it is.
///
/// # Errors
/// [`Error::Unknown`] for an event its user may not see.
pub async fn unsubscribe(account: &Account, journals: &Journals, room: &Room, root: &EventId) -> Result<(), Error> {
    let view = room.view();
    knows_thread(&view, &account.user_id, root).then_some(()).ok_or(Error::Unknown)?;
    let place = (room.id.clone(), root.to_owned());
    let decide = |vault: &VaultLedger| {
        let known = vault.threads.get(&place).map(|known| &known.value).filter(|known| known.subscribed);
        let over = known.map(|known| Thread {
            subscribed: false,
            automatic: false,
            version: known.version + 1,
            until: view.end(),
        });
        over.map(|over| VaultChange::Thread(place.0, place.1, Some(over))).into_iter().collect()
    };
    account.vault.change(journals, decide).await?;
    account.notify();
    Ok(())
}

/// The subscription after a wish to follow; nothing when it stays as it is. `cause` is where the event stands for which
/// a client follows by itself.
fn following(known: Option<&Thread>, cause: Option<Position>, count: usize) -> Result<Option<Thread>, Error> {
    let version = known.map_or(0, |known| known.version) + 1;
    let fresh = Thread { subscribed: true, automatic: cause.is_some(), version, until: Position::START };
    match (known, cause) {
        (None, _) if count >= MOST_THREADS => Err(Error::TooMany),
        // By itself a client changes nothing that is so already.
        (Some(known), Some(_)) if known.subscribed => Ok(None),
        (Some(known), None) if known.subscribed && !known.automatic => Ok(None),
        (Some(known), Some(cause)) if cause <= known.until => Err(Error::Unsubscribed),
        _ => Ok(Some(fresh)),
    }
}

/// A page of an account's threads.
pub struct Page {
    /// The threads, by room and root.
    pub threads: Vec<(OwnedRoomId, OwnedEventId, Thread)>,
    /// Where the next page starts; nothing when this is the last.
    pub end: Option<String>,
}

/// The threads that changed after the vault's count was `since`, at most `most` of them, from the place that `from`
/// names. Without `since`, those that are followed.
#[must_use]
pub fn page(vault: &VaultLedger, since: Option<u64>, from: Option<&str>, most: usize) -> Page {
    let from = from.and_then(read_place);
    let wanted = vault.threads.iter().filter(|(place, _)| from.as_ref().is_none_or(|from| *place > from));
    let mut wanted = wanted.filter(|(_, thread)| match since {
        Some(since) => thread.at > since,
        None => thread.value.subscribed,
    });
    let row = |((room, root), thread): (&(OwnedRoomId, OwnedEventId), &crate::accounts::vault::Counted<Thread>)| {
        (room.clone(), root.clone(), thread.value.clone())
    };
    let threads: Vec<_> = wanted.by_ref().take(most).map(row).collect();
    let more = wanted.next().is_some();
    let end = threads.last().filter(|_| more).map(|(room, root, _)| place(room, root));
    Page { threads, end }
}

/// The threads of a vault of which nothing is left: nobody can ask about them any more.
#[must_use]
pub fn gone(vault: &VaultLedger, room: &Room) -> Vec<VaultChange> {
    let view = room.view();
    let gone = vault.threads.keys().filter(|(of, root)| *of == room.id && !view.has_any_of(root));
    gone.map(|(room, root)| VaultChange::Thread(room.clone(), root.clone(), None)).collect()
}

fn place(room: &RoomId, root: &EventId) -> String {
    URL_SAFE_NO_PAD.encode(format!("{room} {root}"))
}

fn read_place(text: &str) -> Option<(OwnedRoomId, OwnedEventId)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (room, root) = text.split_once(' ')?;
    Some((RoomId::parse(room).ok()?, EventId::parse(root).ok()?))
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    /// A place among threads that a text names, written again.
    pub(crate) fn rewrite_place(text: &str) -> Option<String> {
        super::read_place(text).map(|(room, root)| super::place(&room, &root))
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_room_id};

    use super::*;
    use crate::journal::Ledger;

    fn thread(subscribed: bool, automatic: bool, until: u64) -> Thread {
        Thread { subscribed, automatic, version: 4, until: Position(until) }
    }

    #[test]
    fn a_client_does_not_follow_again_for_what_came_before_its_user_stopped() {
        let stopped = thread(false, false, 7);
        assert_eq!(following(Some(&stopped), Some(Position(7)), 1).err(), Some(Error::Unsubscribed));
        let again = following(Some(&stopped), Some(Position(8)), 1).unwrap().unwrap();
        assert!(again.subscribed && again.automatic && again.version == 5);
        assert!(!following(Some(&stopped), None, 1).unwrap().unwrap().automatic);
    }

    #[test]
    fn what_a_user_chose_no_client_takes_back() {
        let own = thread(true, false, 0);
        assert!(following(Some(&own), Some(Position(9)), 1).unwrap().is_none());
        assert!(following(Some(&own), None, 1).unwrap().is_none());
        let automatic = thread(true, true, 0);
        assert!(following(Some(&automatic), Some(Position(9)), 1).unwrap().is_none());
        assert!(!following(Some(&automatic), None, 1).unwrap().unwrap().automatic);
        assert_eq!(following(None, None, MOST_THREADS).err(), Some(Error::TooMany));
        assert!(following(Some(&automatic), None, MOST_THREADS).is_ok());
    }

    #[test]
    fn pages_follow_each_other() {
        let mut vault = VaultLedger::default();
        for (room, root) in [("!a:b", "$1"), ("!a:b", "$2"), ("!b:b", "$1")] {
            let (room, root) = (RoomId::parse(room).unwrap(), EventId::parse(root).unwrap());
            vault.apply(VaultChange::Thread(room, root, Some(thread(true, false, 0)))).unwrap();
        }
        let first = page(&vault, None, None, 2);
        assert_eq!(first.threads.len(), 2);
        let second = page(&vault, None, first.end.as_deref(), 2);
        assert!(second.end.is_none() && second.threads[0].0 == owned_room_id!("!b:b"));
        let over = VaultChange::Thread(owned_room_id!("!a:b"), owned_event_id!("$1"), Some(thread(false, false, 0)));
        let told = vault.count;
        vault.apply(over).unwrap();
        assert_eq!(page(&vault, None, None, 9).threads.len(), 2);
        let changed = page(&vault, Some(told), None, 9);
        assert!(changed.threads.len() == 1 && !changed.threads[0].2.subscribed);
    }
}
