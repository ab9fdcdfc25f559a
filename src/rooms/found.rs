//! Founding a room: its events, one checkpoint, one slot commit (keys.md §2, "create room").

use std::sync::Arc;

use ruma::{OwnedRoomId, RoomId, RoomVersionId, events::room::member::MembershipState};

use super::{
    Error,
    core::Access,
    entry::Tags,
    hall::Rooms,
    ledger::{Confirmed, Keyed, LowWater, RoomChange, RoomLedger},
    lifetime::{RETENTION, UNSTABLE},
    room::{Room, Writer},
    summary::stripped_state,
    view::View,
};
use crate::{
    accounts::{
        Account,
        vault::{Fact, VaultChange, VaultRoom},
    },
    event::{Draft, rules_of},
    house::{HouseChange, PublicRoom},
    journal::{Identity, Owner, Position},
    seal::slots::{SlotId, SlotKind},
    secret::Key,
    store::{Batch, Class},
};

impl Rooms {
    /// Founds a room out of `drafts`, the create event first and the creator's join second. A creator without an account
    /// holds no key: then those invited who are open hold it from the first.
    /// Who is invited by them gets the key after the commit. `id` is the room's id where the version does not derive it.
    pub async fn found(
        &self,
        creator: Option<&Arc<Account>>,
        version: RoomVersionId,
        id: Option<OwnedRoomId>,
        drafts: Vec<Draft>,
    ) -> Result<Arc<Room>, Error> {
        let rules = rules_of(&version).ok_or(Error::UnsupportedVersion)?;
        let random = self.journals.random.as_ref();
        let (slot, key) = (SlotId::random(random), Key::random(random));
        let (id, drafts) = self.name(id, drafts, &rules)?;
        // In the class of what comes, although the events before the one that chooses it do not know it yet.
        let class = self.class_of_new(&id, &drafts);
        let partition = self.journals.epochs.current(class).await?;
        let mut ledger = RoomLedger::empty(self.policy.server_name.clone(), id.clone(), version, rules);
        ledger.generation = 1;
        ledger.low = Some(LowWater::of(class.lifetime()));
        ledger.keyed = Some(Keyed { stretch: self.journals.epochs.stretch(), from: Position::START });
        let view = View::empty(&ledger, Some(self.journals.clone()), self.term(&id));
        let identity = Identity { kind: SlotKind::Room, slot, key: key.clone() };
        let mut batch = Batch::default();
        let (owner, change) = Owner::create(&self.journals, identity, ledger, &mut batch)?;
        let mut writer = Writer::new(owner, view, Tags::default());
        for draft in drafts {
            let made = match draft {
                Named::Made(event) => self.describe(&mut writer, event, None)?,
                Named::Draft(draft) => self.make(&mut writer, draft, None)?,
            };
            self.put(&mut writer, made, partition, &mut batch)?;
        }
        let holders = match creator {
            Some(creator) => vec![(Arc::clone(creator), Fact::Joined)],
            None => self.open_invitees(&writer.view),
        };
        let confirmed = holders.iter().filter_map(|(account, _)| {
            let member = writer.owner.ledger.roster.id(&account.user_id)?;
            Some(RoomChange::Confirmed(member, Some(Confirmed { generation: 1, slot: account.slot })))
        });
        let confirmed = confirmed.collect();
        writer.owner.change(&self.journals, confirmed, &mut batch)?;

        // The key first: an entry whose slot never comes drops itself.
        for (account, fact) in holders {
            let entry = VaultRoom::new(slot, vec![key.clone()], fact);
            let room_id = id.clone();
            account.vault.change(&self.journals, |_| vec![VaultChange::Room(room_id, Some(entry))]).await?;
        }
        if writer.view.access() == Access::Public {
            let (room_id, public) = (id.clone(), PublicRoom::new(slot, key));
            self.house.change(|_| vec![HouseChange::Public(room_id, Some(public))]).await?;
        }
        self.journals.store.commit(batch).await?;
        self.journals.slots.commit(vec![change]).await?;

        writer.owner.settle();
        let room = Arc::new(Room::assemble(writer));
        self.enter(&room);
        self.spread(&room, &Access::Invite).await;
        for (user, membership) in self.local_members(&room.view()) {
            if membership == MembershipState::Invite {
                let stripped = stripped_state(&room.view().state, &user);
                self.hand_over(&room, &user, Fact::Invited(stripped)).await?;
            }
        }
        self.notify(&room);
        Ok(room)
    }

    /// Who is invited and open, with what his vault is to say of it.
    fn open_invitees(&self, view: &View) -> Vec<(Arc<Account>, Fact)> {
        let members = self.local_members(view).into_iter();
        let invited = members.filter(|(_, membership)| *membership == MembershipState::Invite);
        invited
            .filter_map(|(user, _)| {
                let account = self.accounts.open(&user)?;
                Some((account, Fact::Invited(stripped_state(&view.state, &user))))
            })
            .collect()
    }

    /// The class of the messages of a room that will be made of these events.
    fn class_of_new(&self, id: &RoomId, events: &[Named]) -> Class {
        let said = |kind: &str| {
            events.iter().rev().find_map(|event| match event {
                Named::Draft(draft) if draft.kind == kind && draft.state_key.as_deref() == Some("") => {
                    Some(&draft.content)
                }
                _ => None,
            })
        };
        self.policy.lifetimes.decide(self.imposed(id), said(UNSTABLE), said(RETENTION)).class
    }

    /// Puts the room's id into every draft; where the version derives it from the create event, makes that one first.
    fn name(
        &self,
        id: Option<OwnedRoomId>,
        drafts: Vec<Draft>,
        rules: &ruma::room_version_rules::RoomVersionRules,
    ) -> Result<(OwnedRoomId, Vec<Named>), Error> {
        let mut drafts = drafts.into_iter();
        let first = drafts.next().ok_or(Error::InvalidState)?;
        let builder = crate::event::Builder {
            rules,
            server: &self.policy.server_name,
            key: &self.signer,
            random: self.journals.random.as_ref(),
        };
        let ts = crate::event::next_ts(self.clock.now(), self.policy.bucket, None);
        let first = Draft { room_id: id, ..first };
        let create = Arc::new(builder.build(first, &crate::event::Parents::default(), &[], ts)?);
        let id = create.room_id().to_owned();
        super::core::authorise(&create, &super::core::StateMap::default(), rules)?;
        let mut named = vec![Named::Made(create)];
        named.extend(drafts.map(|draft| Named::Draft(Draft { room_id: Some(id.clone()), ..draft })));
        Ok((id, named))
    }
}

enum Named {
    Made(Arc<crate::event::Event>),
    Draft(Draft),
}
