//! Sessions: what a request's token stands for, from RAM or from the token's row.

use std::{sync::Arc, time::Duration};

use super::{
    Accounts, Error, Known, LoggedIn, Session,
    token_row::{TokenOpening, TokenWrap},
};
use crate::{
    clock::Timestamp,
    seal::{
        slots::{Change, SlotId},
        token::{Token, TokenKind},
    },
    store::{Batch, Partition},
};

/// How long after a restore unknown tokens are taken for lost ones: thirty days, and the day whose start is known.
const SOFT_AFTER_RESTORE: Duration = Duration::from_hours(31 * 24);

impl Accounts {
    /// The session of an access token, when it is known and its device was noted today.
    pub fn at_hand(&self, text: &str) -> Result<Option<Session>, Error> {
        let token = access_token(text)?;
        let today = self.clock.now().day();
        let fresh = |session: &Session| {
            session.account.view().devices.get(&session.device).is_some_and(|device| device.seen_day == today)
        };
        Ok(self.known(&token)?.filter(is_living).filter(fresh))
    }

    /// The session of an access token. Opens the account on its first request.
    pub async fn session(&self, text: &str) -> Result<Session, Error> {
        let token = access_token(text)?;
        match self.known(&token)? {
            Some(session) if is_living(&session) => Ok(session),
            Some(stopped) => self.come_again(&token, &stopped).await,
            // A token that lived in RAM: whether its device ended, too, the refresh token tells.
            None if token.kind() == TokenKind::Short => Err(Error::SoftLogout),
            None => self.wake_by(&token).await?.ok_or_else(|| self.lost_token()),
        }
    }

    /// A fresh access token for a refresh token, which stays good.
    pub async fn refresh(&self, text: &str) -> Result<LoggedIn, Error> {
        let token = Token::parse(text).ok_or(Error::UnknownToken)?;
        if token.kind() != TokenKind::Refresh {
            return Err(Error::UnknownToken);
        }
        let session = match self.known(&token)?.filter(is_living) {
            Some(session) => session,
            None => self.wake_by(&token).await?.ok_or_else(|| self.lost_token())?,
        };
        self.check_unlocked(&session.account)?;
        Ok(self.buy_access(session, token.text()))
    }

    /// Whether a session may go on: long polls ask again and again. Its token stays good when a change of password
    /// gives it another slot.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] when it ended, [`Error::Locked`].
    pub fn lives(&self, session: &Session) -> Result<(), Error> {
        match self.known(&session.durable) {
            Ok(Some(known)) if known.device == session.device && is_living(session) => {
                self.check_unlocked(&session.account)
            }
            _ => Err(Error::UnknownToken),
        }
    }

    /// What is said of a token that opens nothing: soon after a restore it may be one that was given out after the backup,
    /// and its client keeps what it has, its keys above all, until its user has logged in again.
    fn lost_token(&self) -> Error {
        let incarnation = self.journals.slots.incarnation();
        let recent = incarnation.number > 0 && self.clock.now() < incarnation.since.after(SOFT_AFTER_RESTORE);
        if recent { Error::SoftLogout } else { Error::UnknownToken }
    }

    /// The session of a token that is known, whose account has stopped and is loaded again.
    async fn come_again(&self, token: &Token, stopped: &Session) -> Result<Session, Error> {
        let session = self.wake_by(&stopped.durable).await?.ok_or(Error::UnknownToken)?;
        if let Some(known) = self.sessions.write().get_mut(token.hash().expose()) {
            known.session = session.clone();
        }
        Ok(session)
    }

    async fn wake_by(&self, token: &Token) -> Result<Option<Session>, Error> {
        let Some(opened) = self.open_token(token)? else { return Ok(None) };
        let Some(device) = opened.opening.device.clone() else { return Ok(None) };
        let account = self.wake(&opened.opening, opened.account).await?;
        let current = self.journals.epochs.current(self.policy.inactivity).await?;
        // With the right to write in hand: what ends the device meanwhile has it too, and would be undone here.
        let vault = account.vault.write().await;
        if !vault.ledger.devices.contains_key(&device) || !self.journals.slots.contains(&opened.slot) {
            return Ok(None);
        }
        if opened.partition != current || self.journals.slots.epoch_of(&opened.slot) != Some(current) {
            let mut batch = Batch::default();
            self.put_again(token, &opened, current, &mut batch)?;
            self.commit_all(batch, vec![Change::Keep { id: opened.slot, epoch: current }]).await?;
        }
        let session = Session { account: Arc::clone(&account), device, slot: opened.slot, durable: token.clone() };
        self.remember(token, session.clone(), None);
        drop(vault);
        Ok(Some(session))
    }

    /// Puts a token's row into `batch` once more, in another partition.
    pub(super) fn put_again(
        &self,
        token: &Token,
        opened: &TokenOpening,
        partition: Partition,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let TokenOpening { slot, account, opening, .. } = opened;
        let value = |slot| self.journals.slots.value(slot).ok_or(Error::UnknownToken);
        let (slot_value, account_value) = (value(slot)?, value(account)?);
        let way = TokenWrap {
            slot: *slot,
            slot_value: &slot_value,
            account: *account,
            account_value: &account_value,
            opening,
        };
        self.put_token(token, &[way], partition, batch)
    }

    pub(super) fn remember(&self, token: &Token, session: Session, expires: Option<Timestamp>) {
        let mut sessions = self.sessions.write();
        if expires.is_some() {
            let now = self.clock.now();
            sessions.retain(|_, known| known.session.slot != session.slot || known.expires.is_none_or(|end| end > now));
        }
        sessions.insert(*token.hash().expose(), Known { session, expires });
    }

    fn known(&self, token: &Token) -> Result<Option<Session>, Error> {
        let sessions = self.sessions.read();
        let Some(known) = sessions.get(token.hash().expose()) else { return Ok(None) };
        if known.expires.is_some_and(|end| end <= self.clock.now()) {
            return Err(Error::SoftLogout);
        }
        known.session.account.touch(self.clock.monotonic());
        Ok(Some(known.session.clone()))
    }

    /// Ends every session that a slot opened.
    pub(super) fn forget_slot(&self, slot: SlotId) {
        self.sessions.write().retain(|_, known| known.session.slot != slot);
    }
}

/// A token that may authenticate a request.
fn access_token(text: &str) -> Result<Token, Error> {
    let may = |token: &Token| matches!(token.kind(), TokenKind::Access | TokenKind::Short);
    Token::parse(text).filter(may).ok_or(Error::UnknownToken)
}

/// Whether the session's account need not be loaded again.
fn is_living(session: &Session) -> bool {
    session.account.vault.stopped().is_none()
}
