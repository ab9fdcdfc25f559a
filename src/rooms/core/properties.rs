//! What holds whatever people do in a room, of every supported version.

use std::collections::BTreeSet;

use proptest::prelude::*;
use ruma::{RoomVersionId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};

use super::{
    Access, Effect, StateMap, resolve,
    testing::{AL, BO, CY, TestRoom},
};
use crate::event::SUPPORTED;

/// Something somebody tries.
#[derive(Clone, Debug)]
enum Try {
    Member { by: usize, of: usize, membership: &'static str },
    Rule { by: usize, rule: &'static str, rooms: Vec<&'static str> },
    Power { by: usize, of: usize, level: i32 },
    Say { by: usize },
}

const PEOPLE: [&str; 3] = [AL, BO, CY];
const HALLS: [&str; 2] = ["!a:ex.org", "!b:ex.org"];

fn version() -> impl Strategy<Value = RoomVersionId> {
    prop::sample::select(SUPPORTED.to_vec())
}

fn tries(most: usize) -> impl Strategy<Value = Vec<Try>> {
    let person = 0..PEOPLE.len();
    let membership = prop::sample::select(vec!["join", "join", "invite", "leave", "ban", "knock"]);
    let rule = prop::sample::select(vec!["public", "invite", "knock", "restricted", "knock_restricted", "org.x"]);
    let halls = prop::sample::subsequence(HALLS.to_vec(), 0..=HALLS.len());
    let one = prop_oneof![
        6 => (person.clone(), person.clone(), membership)
            .prop_map(|(by, of, membership)| Try::Member { by, of, membership }),
        2 => (person.clone(), rule, halls).prop_map(|(by, rule, rooms)| Try::Rule { by, rule, rooms }),
        1 => (person.clone(), person.clone(), 0..101).prop_map(|(by, of, level)| Try::Power { by, of, level }),
        1 => person.prop_map(|by| Try::Say { by }),
    ];
    prop::collection::vec(one, 1..most)
}

impl Try {
    /// The effects, when the room allows it.
    fn run(&self, room: &mut TestRoom) -> Option<Vec<Effect>> {
        match self {
            Self::Member { by, of, membership } => room.member(PEOPLE[*by], PEOPLE[*of], membership).ok(),
            Self::Rule { by, rule, rooms } => {
                let allow = |id: &&str| json!({"type": "m.room_membership", "room_id": id});
                let allow: Vec<Value> = rooms.iter().map(allow).collect();
                let content = json!({"join_rule": rule, "allow": allow});
                room.state(PEOPLE[*by], "m.room.join_rules", "", &content).ok()
            }
            Self::Power { by, of, level } => {
                let levels = room.state.power_levels().and_then(|event| event.content_as::<Value>());
                let mut levels = levels.unwrap_or_else(|| json!({}));
                levels["users"][PEOPLE[*of]] = json!(level);
                room.state(PEOPLE[*by], "m.room.power_levels", "", &levels).ok()
            }
            Self::Say { by } => room.message(PEOPLE[*by], "x").ok().map(|_| Vec::new()),
        }
    }
}

fn ids(state: &StateMap) -> Vec<String> {
    state.iter().map(|event| event.id().to_string()).collect()
}

/// Whoever holds the room's key as a member.
fn holders(state: &StateMap) -> BTreeSet<String> {
    let holds = |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
    state.members().filter(|(_, membership, _)| holds(membership)).map(|(user, ..)| user.to_string()).collect()
}

/// Whether somebody of membership `from` may come to be `to`, in a room with this access.
fn is_step(from: &MembershipState, to: &MembershipState, access: &Access, knocks: bool) -> bool {
    use MembershipState::{Ban, Invite, Join, Knock, Leave};
    match (from, to) {
        (from, to) if from == to => true,
        (_, Ban) | (Join | Invite | Knock | Ban, Leave) | (Leave | Knock, Invite) | (Invite, Join) => true,
        (Leave | Knock, Join) => *access == Access::Public,
        (Leave, Knock) => knocks,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whoever_loses_the_right_to_the_key_makes_it_rotate(version in version(), tries in tries(24)) {
        let mut room = TestRoom::new(&version);
        let rules = room.rules.authorization.clone();
        for attempt in tries {
            let before = room.state.clone();
            let Some(effects) = attempt.run(&mut room) else {
                prop_assert_eq!(ids(&before), ids(&room.state), "what is refused changes nothing");
                continue;
            };
            let (access, narrowed) = (before.access(&rules), room.state.access(&rules));
            prop_assert!(rules.restricted_join_rule || !matches!(narrowed, Access::Restricted(_)));
            let lost = !holders(&before).is_subset(&holders(&room.state)) || !narrowed.covers(&access);
            prop_assert_eq!(effects.contains(&Effect::RotateKey), lost, "{:?}", attempt);
            prop_assert_eq!(effects.contains(&Effect::Deserted), lost && holders(&room.state).is_empty());
            for name in PEOPLE {
                let user = <&UserId>::try_from(name).unwrap();
                let (from, to) = (before.membership(user), room.state.membership(user));
                let knocks = before.takes_knocks(&rules);
                prop_assert!(is_step(&from, &to, &access, knocks), "{name}: {from} to {to} under {access:?}");
            }
        }
    }

    #[test]
    fn forks_resolve_to_one_state_in_either_order(version in version(), left in tries(8), right in tries(8)) {
        let mut base = TestRoom::new(&version);
        base.member(AL, BO, "invite").unwrap();
        base.member(BO, BO, "join").unwrap();
        let (mut one, mut two) = (base.clone(), base.clone());
        for attempt in left {
            attempt.run(&mut one);
        }
        for attempt in right {
            attempt.run(&mut two);
        }
        let fetch = |id: &ruma::EventId| one.fetch(id).or_else(|| two.fetch(id));
        let resolved = resolve(&[one.state.clone(), two.state.clone()], &base.rules, fetch).unwrap();
        let reversed = resolve(&[two.state.clone(), one.state.clone()], &base.rules, fetch).unwrap();
        prop_assert_eq!(ids(&resolved), ids(&reversed));
        prop_assert!(resolved.create().is_some() && resolved.power_levels().is_some());
        // What a fork has superseded can come back, where what superseded it does not stand.
        let known: BTreeSet<String> = one.events.keys().chain(two.events.keys()).map(ToString::to_string).collect();
        prop_assert!(ids(&resolved).iter().all(|id| known.contains(id)));
    }
}
