//! When things are forgotten.

use std::collections::BTreeMap;

use ruma::OwnedRoomOrAliasId;

use crate::config::{Span, lifetime::Lifetime, section::section};

section! {
    /// When things are forgotten. A lifetime is a length of time ("12h", "30d", "1y") or "forever"; it acts as the longest
    /// of 1h, 1d, 7d, 30d, 90d and 1y within it. `lethe retention show` shows what is in force.
    pub struct Retention {
        /// The lifetime of messages in a room that sets none. New rooms are made with it and show it; made shorter, it holds
        /// for them too as long as nobody there has chosen. The profile "strict" makes it 7d.
        pub default: Lifetime = Lifetime::days(30);
        /// The shortest lifetime a room may set (`m.room.retention`); what is shorter acts as this.
        pub min: Lifetime = Lifetime::hours(1);
        /// The longest lifetime a room may set; what is longer acts as this.
        pub max: Lifetime = Lifetime::days(365);
        /// Lifetimes of single rooms by their id or an alias here, such as { "#news:example.org" = "1y" }: they hold whatever
        /// the room sets, between `min` and `max`. An alias stands for the room it leads to at the time; one that leads
        /// nowhere does nothing.
        pub rooms: BTreeMap<OwnedRoomOrAliasId, Lifetime> = BTreeMap::new();
        /// The lifetime of uploaded media. What a profile or a room shows, such as its picture, stays while it is shown.
        pub media: Lifetime = Lifetime::days(30);
        /// The lifetime of cached media of other servers, and of pictures of previewed pages; at most 1d.
        pub remote_media: Lifetime = Lifetime::days(1);
        /// The lifetime of messages between devices that are never fetched; at least that of messages, because a lost key
        /// is an unreadable message. It ends with `accounts.device_inactivity` at the latest.
        pub to_device: Lifetime = Lifetime::days(30);
        /// After how long what was replaced in lasting state is destroyed on the disk: earlier names and topics, who was
        /// in a room, names of devices, where somebody had read to. 1h to 30d. In a room's timeline it goes with the messages.
        pub superseded_state: Span = Span::days(1);
        /// After how long a room is destroyed in which nothing happens and which nobody is in, but only invited to.
        pub empty_rooms: Lifetime = Lifetime::days(30);
        /// After how long rooms forget who deactivated an account without asking to be forgotten: then its name goes, and
        /// what is left of its messages.
        pub deactivated_accounts: Lifetime = Lifetime::days(365);
    }
}

/// What is wrong with lifetimes: the key, and what to do.
pub(super) type Contradiction = (&'static str, &'static str);

impl Retention {
    /// The first of the lifetimes, with `device_inactivity` among them, that cannot be together with the others.
    pub(super) fn contradiction(&self, device_inactivity: Span) -> Option<Contradiction> {
        let lifetimes = [
            ("retention.default", self.default),
            ("retention.min", self.min),
            ("retention.max", self.max),
            ("retention.media", self.media),
            ("retention.remote_media", self.remote_media),
            ("retention.to_device", self.to_device),
            ("retention.superseded_state", Lifetime::For(self.superseded_state)),
            ("retention.empty_rooms", self.empty_rooms),
            ("retention.deactivated_accounts", self.deactivated_accounts),
            ("accounts.device_inactivity", Lifetime::For(device_inactivity)),
        ];
        let rooms = self.rooms.values().map(|lifetime| ("retention.rooms", *lifetime));
        let short = lifetimes.into_iter().chain(rooms).find(|(_, lifetime)| *lifetime < Lifetime::SHORTEST);
        if let Some((key, _)) = short {
            return Some((key, "expected at least 1h: nothing is kept for less"));
        }
        let longest = self.rooms.values().map(|lifetime| lifetime.acts_as()).fold(self.default.acts_as(), Ord::max);
        let inactivity = Lifetime::For(device_inactivity).acts_as();
        let rules = [
            (
                self.min > self.max,
                "retention.min",
                "expected at most `retention.max`: lower the one or raise the other",
            ),
            (
                self.least() > self.most(),
                "retention.min",
                "expected one of 1h, 1d, 7d, 30d, 90d and 1y between it and `retention.max`: lower the one or raise the other",
            ),
            (
                !self.allows(self.default),
                "retention.default",
                "expected to act as a lifetime between `retention.min` and `retention.max`: change it, or one of the two",
            ),
            (
                !self.rooms.values().all(|lifetime| self.allows(*lifetime)),
                "retention.rooms",
                "expected lifetimes that act as ones between `retention.min` and `retention.max`: change them, or one of \
                 the two",
            ),
            (self.remote_media > Lifetime::days(1), "retention.remote_media", "expected at most 1d"),
            (
                self.to_device.acts_as() < longest.min(inactivity),
                "retention.to_device",
                "expected at least the longest of `retention.default` and `retention.rooms`, or \
                 `accounts.device_inactivity`, because a lost key is an unreadable message: raise it, or lower those",
            ),
            (self.superseded_state > Span::days(30), "retention.superseded_state", "expected at most 30d"),
        ];
        rules.into_iter().find(|(broken, ..)| *broken).map(|(_, key, problem)| (key, problem))
    }

    /// The shortest lifetime of messages in a room that there can be.
    #[must_use]
    pub fn least(&self) -> Lifetime {
        self.min.acts_at_least_as()
    }

    /// The longest lifetime of messages in a room that there can be.
    #[must_use]
    pub fn most(&self) -> Lifetime {
        self.max.acts_as()
    }

    fn allows(&self, lifetime: Lifetime) -> bool {
        (self.min..=self.max).contains(&lifetime) && lifetime.acts_as() >= self.least()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key_of(change: impl FnOnce(&mut Retention)) -> Option<&'static str> {
        let mut retention = Retention::default();
        change(&mut retention);
        retention.contradiction(Span::days(90)).map(|(key, _)| key)
    }

    fn room(lifetime: Lifetime) -> BTreeMap<OwnedRoomOrAliasId, Lifetime> {
        [("#a:localhost".try_into().unwrap(), lifetime)].into()
    }

    #[test]
    fn what_cannot_be_together_is_named() {
        assert_eq!(key_of(|_| {}), None);
        assert_eq!(key_of(|r| r.media = Lifetime::For(Span::seconds(3599))), Some("retention.media"));
        assert_eq!(key_of(|r| r.rooms = room(Lifetime::For(Span::seconds(1)))), Some("retention.rooms"));
        assert_eq!(key_of(|r| r.min = Lifetime::Forever), Some("retention.min"));
        // Nothing lies between 8 and 29 days.
        assert_eq!(key_of(|r| (r.min, r.max) = (Lifetime::days(8), Lifetime::days(29))), Some("retention.min"));
        assert_eq!(key_of(|r| r.max = Lifetime::days(29)), Some("retention.default"));
        // 35 days act as 30, which is below the minimum.
        assert_eq!(
            key_of(|r| (r.min, r.default) = (Lifetime::days(31), Lifetime::days(35))),
            Some("retention.default")
        );
        assert_eq!(key_of(|r| r.rooms = room(Lifetime::Forever)), Some("retention.rooms"));
        assert_eq!(key_of(|r| r.rooms = room(Lifetime::days(365))), Some("retention.to_device"));
        assert_eq!(
            key_of(|r| (r.rooms, r.to_device) = (room(Lifetime::days(365)), Lifetime::days(90))),
            None,
            "a device that is away for longer is forgotten"
        );
        assert_eq!(key_of(|r| r.remote_media = Lifetime::days(2)), Some("retention.remote_media"));
        assert_eq!(key_of(|r| r.superseded_state = Span::days(31)), Some("retention.superseded_state"));
        let short = Retention::default().contradiction(Span::seconds(1));
        assert_eq!(short.map(|(key, _)| key), Some("accounts.device_inactivity"));
    }

    proptest! {
        #[test]
        fn what_is_accepted_leaves_room_for_every_lifetime(
            mut hours in [1_u64..10_000, 1_u64..10_000, 1_u64..10_000, 1_u64..10_000],
            longer in any::<bool>(),
        ) {
            hours.sort_unstable();
            let [min, one, other, max] = hours;
            let (default, own) = if longer { (one, other) } else { (other, one) };
            let retention = Retention {
                min: Lifetime::hours(min), default: Lifetime::hours(default), max: Lifetime::hours(max),
                rooms: room(Lifetime::hours(own)), to_device: Lifetime::Forever, ..Retention::default()
            };
            prop_assume!(retention.contradiction(Span::days(90)).is_none());
            for lifetime in [retention.default, Lifetime::hours(own)] {
                let acts = lifetime.acts_as();
                prop_assert!(retention.min <= acts && acts <= retention.max && acts <= lifetime);
                prop_assert!(retention.least() <= acts && acts <= retention.most());
            }
        }
    }
}
