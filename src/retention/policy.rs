//! The lifetimes in force: what the configuration says, mapped to classes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::OwnedRoomOrAliasId;
use serde::Serialize;

use crate::{
    config::{Config, Lifetime},
    rooms::Lifetimes,
    seal::epochs::Stretch,
    store::Class,
};

/// The lifetimes in force.
#[derive(Clone)]
pub struct Policy {
    /// Of messages.
    pub rooms: Arc<Lifetimes>,
    /// Of uploads.
    pub media: Class,
    /// Of what comes from other servers.
    pub remote_media: Class,
    /// Of messages between devices.
    pub to_device: Class,
    /// Of devices that nobody uses.
    pub inactivity: Class,
    /// Of what was replaced in lasting state.
    pub superseded: Duration,
    /// Of rooms that nobody is in; nothing where they stay.
    pub empty_rooms: Option<Duration>,
    /// Of those whose accounts have ended, in rooms; nothing where they stay.
    pub parted: Option<Duration>,
    table: Vec<Shown>,
}

/// A line of the table of lifetimes.
#[derive(Clone, Serialize)]
pub struct Shown {
    /// What lives so long: the key of the configuration.
    pub kind: &'static str,
    /// The room, as the configuration names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<OwnedRoomOrAliasId>,
    /// The lifetime as it is configured.
    pub lifetime: String,
    /// What it acts as: the class its rows lie in. Nothing where something is not filed by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// How much is destroyed together at the end of a lifetime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<&'static str>,
}

impl Policy {
    /// What `config`, which has been checked, says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let retention = &config.retention;
        let inactivity = Lifetime::For(config.accounts.device_inactivity);
        let (mut rooms, mut aliases) = (BTreeMap::new(), BTreeMap::new());
        for (name, lifetime) in &retention.rooms {
            match <&ruma::RoomId>::try_from(&**name) {
                Ok(id) => drop(rooms.insert(id.to_owned(), class(*lifetime))),
                Err(alias) => drop(aliases.insert(alias.to_owned(), class(*lifetime))),
            }
        }
        let lifetimes = Lifetimes {
            default: class(retention.default),
            least: class(retention.least()),
            most: class(retention.most()),
            rooms,
            aliases,
        };
        Self {
            rooms: Arc::new(lifetimes),
            media: class(retention.media),
            remote_media: class(retention.remote_media),
            to_device: class(retention.to_device.min(inactivity)),
            inactivity: class(inactivity),
            superseded: retention.superseded_state.0,
            empty_rooms: retention.empty_rooms.duration(),
            parted: retention.deactivated_accounts.duration(),
            table: table(config),
        }
    }

    /// The table of lifetimes, for administrators.
    #[must_use]
    pub fn table(&self) -> &[Shown] {
        &self.table
    }
}

/// The class that a lifetime acts as.
fn class(lifetime: Lifetime) -> Class {
    lifetime.duration().map_or(Class::Forever, Class::within)
}

fn table(config: &Config) -> Vec<Shown> {
    let retention = &config.retention;
    let inactivity = Lifetime::For(config.accounts.device_inactivity);
    let filed = |kind, lifetime| Shown::filed(kind, lifetime, class(lifetime));
    let whole = |kind, lifetime| Shown { kind, room: None, lifetime: text(lifetime), class: None, epoch: None };
    let mut table = vec![
        filed("retention.default", retention.default),
        Shown::filed("retention.min", retention.min, class(retention.least())),
        filed("retention.max", retention.max),
    ];
    table.extend(
        retention
            .rooms
            .iter()
            .map(|(room, lifetime)| Shown { room: Some(room.clone()), ..filed("retention.rooms", *lifetime) }),
    );
    table.extend([
        filed("retention.media", retention.media),
        filed("retention.remote_media", retention.remote_media),
        Shown::filed("retention.to_device", retention.to_device, class(retention.to_device.min(inactivity))),
        filed("accounts.device_inactivity", inactivity),
        whole("retention.superseded_state", Lifetime::For(retention.superseded_state)),
        whole("retention.empty_rooms", retention.empty_rooms),
        whole("retention.deactivated_accounts", retention.deactivated_accounts),
    ]);
    table
}

impl Shown {
    fn filed(kind: &'static str, lifetime: Lifetime, class: Class) -> Self {
        let epoch = Stretch::of(class).map(Stretch::name);
        Self { kind, room: None, lifetime: text(lifetime), class: Some(class.name()), epoch }
    }

    /// The line for a screen.
    #[must_use]
    pub fn line(&self) -> String {
        let room = self.room.as_ref().map_or_else(String::new, |room| format!(" {room}"));
        let class = self.class.map_or_else(String::new, |class| format!("  class {class}"));
        let epoch = self.epoch.map_or_else(String::new, |epoch| format!("  epochs of 1 {epoch}"));
        format!("{}{room}  {}{class}{epoch}", self.kind, self.lifetime)
    }
}

fn text(lifetime: Lifetime) -> String {
    serde_json::to_value(lifetime).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Profile, STEPS, Span};

    #[test]
    fn a_step_of_the_configuration_is_a_class_of_the_store() {
        let classes: Vec<Duration> = Class::ALL.into_iter().filter_map(Class::lifetime).collect();
        assert_eq!(classes, STEPS);
        for class in Class::ALL {
            let named = class.lifetime().map_or(Lifetime::Forever, |lifetime| Lifetime::For(Span(lifetime)));
            assert_eq!(super::class(named), class);
            let written = text(named);
            assert!(written == class.name() || (written.as_str(), class.name()) == ("365d", "1y"), "{written}");
        }
    }

    #[test]
    fn the_table_says_what_is_in_force() {
        let toml = "profile = \"strict\"\n[retention]\nto_device = \"1y\"\nmax = \"forever\"\nempty_rooms = \"forever\"\n\
                    [retention.rooms]\n\"#news:localhost\" = \"40d\"\n\"!id:localhost\" = \"1d\"";
        let config = Config::from_parts(toml, []).expect("valid");
        let policy = Policy::of(&config);
        assert_eq!(
            (policy.rooms.default, policy.rooms.most, policy.to_device),
            (Class::Week, Class::Forever, Class::Quarter)
        );
        assert_eq!(policy.rooms.aliases.values().collect::<Vec<_>>(), [&Class::Month]);
        assert_eq!(policy.rooms.rooms.values().collect::<Vec<_>>(), [&Class::Day]);
        assert_eq!(policy.empty_rooms, None);
        let lines: Vec<String> = policy.table().iter().map(Shown::line).collect();
        assert_eq!(
            lines,
            [
                "retention.default  7d  class 7d  epochs of 1 day",
                "retention.min  1h  class 1h  epochs of 1 hour",
                "retention.max  forever  class forever",
                "retention.rooms !id:localhost  1d  class 1d  epochs of 1 hour",
                "retention.rooms #news:localhost  40d  class 30d  epochs of 1 day",
                "retention.media  7d  class 7d  epochs of 1 day",
                "retention.remote_media  1d  class 1d  epochs of 1 hour",
                "retention.to_device  365d  class 90d  epochs of 1 week",
                "accounts.device_inactivity  90d  class 90d  epochs of 1 week",
                "retention.superseded_state  1d",
                "retention.empty_rooms  forever",
                "retention.deactivated_accounts  365d",
            ]
        );
    }

    #[test]
    fn strict_forgets_after_a_week() {
        let policy = Policy::of(&Config::of_profile(Profile::Strict));
        assert_eq!((policy.rooms.default, policy.media, policy.to_device), (Class::Week, Class::Week, Class::Week));
    }
}
