//! Logging in: by password, or by a token that another device of the account got, for a new device.

use std::sync::Arc;

use ruma::{OwnedDeviceId, OwnedUserId};

use super::{
    Accounts, Error, Session,
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
        Device { name: self.name.clone(), tokens: vec![self.slot], seen_day: now.day(), acknowledged: Position::START }
    }
}

/// What a login rests on; it must still hold when the device is made.
enum Proof<'a> {
    /// The slot of a password.
    Password(SlotId),
    /// Another device of the account.
    Device(&'a Session),
}

impl Accounts {
    /// Logs in by password. Takes as long for a name that does not exist.
    pub async fn login(&self, name: &str, password: SecretText, device: NewDevice) -> Result<LoggedIn, Error> {
        let (life, wrap, opening) = self.open_password(name, password).await?;
        let account = self.wake(&opening, life.account).await?;
        self.check_unlocked(&account)?;
        self.add_device(account, &Proof::Password(wrap.slot), device).await
    }

    /// Logs a further device in with a token that one of the account's devices got for it. The token is used up, also
    /// when the login fails.
    pub async fn login_by_token(&self, text: &str, device: NewDevice) -> Result<LoggedIn, Error> {
        let session = self.login_tokens.take(text, self.clock.monotonic()).ok_or(Error::Forbidden)?;
        self.check_unlocked(&session.account)?;
        self.add_device(Arc::clone(&session.account), &Proof::Device(&session), device).await
    }

    /// Whether `password` is the account's, for user-interactive authentication.
    pub async fn check_password(&self, name: &str, password: SecretText) -> Result<(), Error> {
        self.open_password(name, password).await.map(|_| ())
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
        proof: &Proof<'_>,
        wanted: NewDevice,
    ) -> Result<LoggedIn, Error> {
        let partition = self.journals.epochs.current(self.policy.inactivity).await?;
        let plan = TokenPlan::new(wanted, self.journals.random.as_ref());
        let account_value = self.journals.slots.value(&account.slot).ok_or(Error::Forbidden)?;
        let mut vault = account.vault.write().await;
        // What proved the account may have ended since, and the account key been replaced with it.
        let proven = match proof {
            Proof::Password(slot) => self.journals.slots.contains(slot),
            Proof::Device(session) => self.lives(session).is_ok(),
        };
        if !proven {
            return Err(Error::Forbidden);
        }
        let identity = vault.identity();
        let opening = Opening {
            key: identity.key.clone(),
            vault: identity.slot,
            localpart: account.user_id.localpart().to_owned(),
            device: Some(plan.device.clone()),
        };
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
            _ => LoggedIn {
                user_id: session.account.user_id.clone(),
                device: session.device.clone(),
                access: plan.token.text(),
                refresh: None,
                expires_in: None,
                session,
            },
        }
    }

    pub(super) fn buy_access(&self, session: Session, refresh: SecretText) -> LoggedIn {
        let token = Token::random(TokenKind::Short, self.journals.random.as_ref());
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
}

fn device_id(random: &dyn Random) -> OwnedDeviceId {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = random.bytes::<10>().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    OwnedDeviceId::from(letters.iter().collect::<String>())
}
