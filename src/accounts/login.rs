//! Logging in: by password for a new token, by token for a session.

use std::sync::Arc;

use ruma::{OwnedDeviceId, OwnedUserId};

use super::{
    Accounts, Error, Known, Session,
    credentials::Opening,
    record::{Life, PasswordWrap},
    token_row::TokenWrap,
    vault::{Device, VaultChange},
};
use crate::{
    clock::Timestamp,
    journal::{Position, Stream},
    random::Random,
    seal::{
        slots::{Change, SlotId, SlotKind},
        token::{Token, TokenKind},
    },
    secret::{Key, SecretText},
    store::{Batch, Partition},
};

/// What a client asks for when it logs in.
#[derive(Clone, Default)]
pub struct NewDevice {
    /// Its id; a fresh one when absent.
    pub id: Option<OwnedDeviceId>,
    /// Its name.
    pub name: Option<String>,
    /// Whether the client can refresh tokens.
    pub refresh: bool,
}

/// What a client gets for it.
pub struct LoggedIn {
    /// The account.
    pub user_id: OwnedUserId,
    /// The device.
    pub device: OwnedDeviceId,
    /// The token for requests.
    pub access: SecretText,
    /// The token for more of them, when it was asked for.
    pub refresh: Option<SecretText>,
    /// How long the access token lives; for ever when absent.
    pub expires_in: Option<std::time::Duration>,
    /// The session it opens.
    pub session: Session,
}

/// A token about to be made.
pub(super) struct TokenPlan {
    pub(super) device: OwnedDeviceId,
    pub(super) slot: SlotId,
    value: Key,
    pub(super) token: Token,
    name: Option<String>,
}

impl TokenPlan {
    pub(super) fn new(wanted: NewDevice, random: &dyn Random) -> Self {
        let kind = if wanted.refresh { TokenKind::Refresh } else { TokenKind::Access };
        Self {
            device: wanted.id.unwrap_or_else(|| device_id(random)),
            slot: SlotId::random(random),
            value: Key::random(random),
            token: Token::random(kind, random),
            name: wanted.name,
        }
    }

    pub(super) fn entry(&self, now: Timestamp) -> Device {
        Device { name: self.name.clone(), tokens: vec![self.slot], seen_day: day(now), acknowledged: Position::START }
    }
}

/// Whole days since the epoch: the finest time a vault keeps of a device.
pub(super) fn day(now: Timestamp) -> u64 {
    now.0 / 86_400_000
}

impl Accounts {
    /// Logs in by password. Takes as long for a name that does not exist.
    pub async fn login(&self, name: &str, password: SecretText, device: NewDevice) -> Result<LoggedIn, Error> {
        let (life, wrap, opening) = self.open_password(name, password).await?;
        let account = self.wake(&opening, life.account).await?;
        self.add_device(account, &wrap, &opening, device).await
    }

    /// Whether `password` is the account's, for user-interactive authentication.
    pub async fn check_password(&self, name: &str, password: SecretText) -> Result<(), Error> {
        self.open_password(name, password).await.map(|_| ())
    }

    /// The session of an access token, when it is known and its device was noted today.
    pub fn at_hand(&self, text: &str) -> Result<Option<Session>, Error> {
        let token = access_token(text)?;
        let today = day(self.clock.now());
        let fresh = |session: &Session| {
            session.account.view().devices.get(&session.device).is_some_and(|device| device.seen_day == today)
        };
        Ok(self.known(&token)?.filter(is_living).filter(fresh))
    }

    /// The session of an access token. Opens the account on its first request.
    pub async fn session(&self, text: &str) -> Result<Session, Error> {
        let token = access_token(text)?;
        match self.known(&token)? {
            Some(session) if is_living(&session) => return Ok(session),
            Some(stopped) => return self.come_again(&token, &stopped).await,
            None => {}
        }
        // A token that lives in RAM only looks the same as a stranger's after a restart: both are told to refresh.
        self.wake_by(&token).await?.ok_or(Error::SoftLogout)
    }

    /// A fresh access token for a refresh token, which stays good.
    pub async fn refresh(&self, text: &str) -> Result<LoggedIn, Error> {
        let token = Token::parse(text).ok_or(Error::UnknownToken)?;
        if token.kind() != TokenKind::Refresh {
            return Err(Error::UnknownToken);
        }
        let session = match self.known(&token)?.filter(is_living) {
            Some(session) => session,
            None => self.wake_by(&token).await?.ok_or(Error::UnknownToken)?,
        };
        Ok(self.buy_access(session, token.text()))
    }

    /// Whether the token that opened a session is still good: long polls ask again and again. It stays good when a change
    /// of password gives it another slot.
    #[must_use]
    pub fn lives(&self, session: &Session) -> bool {
        matches!(self.known(&session.durable), Ok(Some(known)) if known.device == session.device && is_living(session))
    }

    /// The session of a token that is known, whose account has stopped and is loaded again.
    async fn come_again(&self, token: &Token, stopped: &Session) -> Result<Session, Error> {
        let session = self.wake_by(&stopped.durable).await?.ok_or(Error::SoftLogout)?;
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
        if opened.partition != current {
            self.renew(token, opened.slot, opened.account, &opened.opening, current).await?;
        }
        let session = Session { account: Arc::clone(&account), device, slot: opened.slot, durable: token.clone() };
        self.remember(token, session.clone(), None);
        drop(vault);
        Ok(Some(session))
    }

    /// Rewrites a token's row into the current epoch, and ties its slot's life to that epoch.
    async fn renew(
        &self,
        token: &Token,
        slot: SlotId,
        account: SlotId,
        opening: &Opening,
        partition: Partition,
    ) -> Result<(), Error> {
        let (Some(value), Some(account_value)) =
            (self.journals.slots.value(&slot), self.journals.slots.value(&account))
        else {
            return Err(Error::UnknownToken);
        };
        let mut batch = Batch::default();
        let way = TokenWrap { slot, slot_value: &value, account, account_value: &account_value, opening };
        self.put_token(token, &[way], partition, &mut batch)?;
        let change = Change::Set { id: slot, kind: SlotKind::Token, value, epoch: Some(partition) };
        Ok(self.commit_all(batch, vec![change]).await?)
    }

    /// The life, wrap and opening that a password opens.
    pub(super) async fn open_password(
        &self,
        name: &str,
        password: SecretText,
    ) -> Result<(Life, PasswordWrap, Opening), Error> {
        let life = self.living(name)?;
        let Some(life) = life else {
            self.stretch(password, self.kdf()).await?;
            return Err(Error::Forbidden);
        };
        for wrap in &life.wraps {
            if !self.journals.slots.contains(&wrap.slot) {
                continue;
            }
            let stretched = self.stretch(password.clone(), wrap.kdf).await?;
            if let Some(opening) = self.open_wrap(&life, wrap, &stretched) {
                return Ok((life.clone(), wrap.clone(), opening));
            }
        }
        Err(Error::Forbidden)
    }

    async fn add_device(
        &self,
        account: Arc<super::Account>,
        wrap: &PasswordWrap,
        opening: &Opening,
        wanted: NewDevice,
    ) -> Result<LoggedIn, Error> {
        let partition = self.journals.epochs.current(self.policy.inactivity).await?;
        let plan = TokenPlan::new(wanted, self.journals.random.as_ref());
        let account_value = self.journals.slots.value(&account.slot).ok_or(Error::Forbidden)?;
        let mut vault = account.vault.write().await;
        // The password may have been replaced, and the account key with it, since it was checked.
        if !self.journals.slots.contains(&wrap.slot) {
            return Err(Error::Forbidden);
        }
        let key = vault.identity().key.clone();
        let opening = Opening { device: Some(plan.device.clone()), key, ..opening.clone() };
        let mut batch = Batch::default();
        let mut slots = vec![self.put_plan(&plan, (account.slot, &account_value), &opening, partition, &mut batch)?];
        let mut entry = plan.entry(self.clock.now());
        let before = vault.ledger.devices.get(&plan.device).cloned();
        match &before {
            // The device id was used before: its old tokens end, its queue and name stay.
            Some(before) => {
                slots.extend(before.tokens.iter().map(|id| Change::Remove { id: *id }));
                // Named until they are gone: a cut before the slot commit leaves the device as it was.
                entry.tokens.extend(before.tokens.iter().filter(|id| self.journals.slots.contains(id)));
                entry.acknowledged = before.acknowledged;
                entry.name = entry.name.or_else(|| before.name.clone());
            }
            None if vault.ledger.devices.len() >= self.policy.most_devices => return Err(Error::TooMany),
            // A device of that id that ended may have left messages behind: they are not for this one.
            None => entry.acknowledged = vault.reached(Stream::ToDevice),
        }
        vault.change(&self.journals, vec![VaultChange::Device(plan.device.clone(), Some(entry))], &mut batch)?;
        let done = self.commit_all(batch, slots).await;
        vault.finish(done)?;
        drop(vault);
        for slot in before.into_iter().flat_map(|before| before.tokens) {
            self.forget_slot(slot);
        }
        let session = Session { account, device: plan.device.clone(), slot: plan.slot, durable: plan.token.clone() };
        Ok(self.grant(&plan, session))
    }

    /// Puts a planned token's row into `batch`; the change makes it live.
    pub(super) fn put_plan(
        &self,
        plan: &TokenPlan,
        (account, account_value): (SlotId, &Key),
        opening: &Opening,
        partition: Partition,
        batch: &mut Batch,
    ) -> Result<Change, Error> {
        let way = TokenWrap { slot: plan.slot, slot_value: &plan.value, account, account_value, opening };
        self.put_token(&plan.token, &[way], partition, batch)?;
        Ok(Change::Set { id: plan.slot, kind: SlotKind::Token, value: plan.value.clone(), epoch: Some(partition) })
    }

    /// What a client gets for a token that is durable.
    pub(super) fn grant(&self, plan: &TokenPlan, session: Session) -> LoggedIn {
        self.remember(&plan.token, session.clone(), None);
        match plan.token.kind() {
            TokenKind::Refresh => self.buy_access(session, plan.token.text()),
            TokenKind::Access => LoggedIn {
                user_id: session.account.user_id.clone(),
                device: session.device.clone(),
                access: plan.token.text(),
                refresh: None,
                expires_in: None,
                session,
            },
        }
    }

    fn buy_access(&self, session: Session, refresh: SecretText) -> LoggedIn {
        let token = Token::random(TokenKind::Access, self.journals.random.as_ref());
        let lifetime = self.policy.access_lifetime;
        self.remember(&token, session.clone(), Some(self.clock.now().after(lifetime)));
        LoggedIn {
            user_id: session.account.user_id.clone(),
            device: session.device.clone(),
            access: token.text(),
            refresh: Some(refresh),
            expires_in: Some(lifetime),
            session,
        }
    }

    fn remember(&self, token: &Token, session: Session, expires: Option<Timestamp>) {
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
        Ok(Some(known.session.clone()))
    }

    /// Ends every session that a slot opened.
    pub(super) fn forget_slot(&self, slot: SlotId) {
        self.sessions.write().retain(|_, known| known.session.slot != slot);
    }
}

/// A token that may authenticate a request: a refresh token may not.
fn access_token(text: &str) -> Result<Token, Error> {
    Token::parse(text).filter(|token| token.kind() == TokenKind::Access).ok_or(Error::UnknownToken)
}

/// Whether the session's account need not be loaded again.
fn is_living(session: &Session) -> bool {
    session.account.vault.stopped().is_none()
}

fn device_id(random: &dyn Random) -> OwnedDeviceId {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = random.bytes::<10>().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    OwnedDeviceId::from(letters.iter().collect::<String>())
}
