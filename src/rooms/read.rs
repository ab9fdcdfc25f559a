//! Read positions: durable in the vault, shown to the room from RAM.

use std::sync::Arc;

use ruma::EventId;

use super::{Error, hall::Rooms, room::Room, view::Receipt};
use crate::{
    accounts::{
        Account,
        vault::{ReadKey, ReadKind, ReadMark, VaultChange, VaultLedger},
    },
    event::receipt_ts,
};

impl Rooms {
    /// Moves a read position of `account` to `event`, never backwards. One for an unknown event is accepted and moves
    /// nothing.
    pub async fn read(
        &self,
        room: &Arc<Room>,
        account: &Arc<Account>,
        kind: ReadKind,
        thread: Option<String>,
        event: &EventId,
    ) -> Result<(), Error> {
        let view = room.view();
        let Some(entry) = view.entry(event) else { return Ok(()) };
        let key = ReadKey { room: room.id.clone(), kind, thread };
        let ts = receipt_ts(self.clock.now(), self.policy.bucket, entry.ts);
        let mark = ReadMark { position: entry.position, event: event.to_owned(), ts: ts.0 };
        let ahead = |vault: &VaultLedger| vault.read.get(&key).is_none_or(|before| before.position < mark.position);
        if !ahead(&account.view()) {
            return Ok(());
        }
        let change = |vault: &VaultLedger| {
            let moved = ahead(vault).then(|| VaultChange::Read(key.clone(), Some(mark.clone())));
            moved.into_iter().collect()
        };
        account.vault.change(&self.journals, change).await?;
        account.notify();
        if kind == ReadKind::Public {
            room.show_receipts(account);
            self.notify(room);
        }
        Ok(())
    }
}

impl Room {
    /// Shows the room the public receipts that lie in a vault.
    pub(super) fn show_receipts(&self, account: &Account) {
        let vault = account.view();
        let from = ReadKey { room: self.id.clone(), kind: ReadKind::Public, thread: None };
        let mine = vault.read.range(from..).take_while(|(key, _)| key.room == self.id && key.kind == ReadKind::Public);
        let marks: Vec<_> = mine.map(|(key, mark)| (key.thread.clone(), mark.clone())).collect();
        if marks.is_empty() {
            return;
        }
        self.change_view(|view| {
            for (thread, mark) in marks {
                let place = (account.user_id.clone(), thread);
                if view.receipts.get(&place).is_some_and(|known| known.position >= mark.position) {
                    continue;
                }
                view.receipt_count += 1;
                let ReadMark { position, event, ts } = mark;
                view.receipts.insert(place, Receipt { position, event, ts, at: view.receipt_count });
            }
        });
    }
}
