//! What administrators ask of a running server, carried out on the engine and put into words.

use std::{fmt::Write, sync::Arc};

use chrono::DateTime;
use ruma::{OwnedRoomId, RoomId, UserId};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    protocol::{Answer, Request},
    socket::Dispatch,
};
use crate::{
    accounts::{self, Report, Reset},
    api::BoxFuture,
    backup::{self, Places},
    engine::{
        Engine,
        administer::{Error, NewToken, RoomShown, Shredded, TokenShown, UserShown},
    },
    house,
    metrics::{Lateness, State},
    retention::Shown,
    rooms::Notice,
    seal::password::passphrase,
    secret::SecretText,
};

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Does what administrators ask, on the engine.
pub struct Administrator(pub Arc<Engine>);

/// Lines for a screen, and the same for programs.
type Said = (Vec<String>, Value);

impl Dispatch for Administrator {
    fn dispatch(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match self.carry_out(request).await {
                Ok((lines, data)) => Answer::Done { lines, data },
                Err(error) => Answer::Failed { reason: reason(error), later: is_passing(error) },
            }
        })
    }
}

impl Administrator {
    async fn carry_out(&self, request: Request) -> Result<Said, Error> {
        let engine = &self.0;
        match request {
            Request::UserList => Ok(listed("users", &engine.users()?, user_line)),
            Request::UserAdd { localpart, password, admin } => self.add_user(&localpart, password, admin).await,
            Request::UserLock { name, locked } => {
                engine.note(&engine.named(&name)?.user, |entry| entry.locked = locked).await?;
                Ok(done())
            }
            Request::UserSuspend { name, suspended } => {
                engine.note(&engine.named(&name)?.user, |entry| entry.suspended = suspended).await?;
                Ok(done())
            }
            Request::UserAdmin { name, admin } => {
                engine.note(&engine.named(&name)?.user, |entry| entry.admin = admin).await?;
                Ok(done())
            }
            Request::UserDeactivate { name, erase } => {
                engine.deactivate(&engine.named(&name)?.user, erase).await?;
                Ok(done())
            }
            Request::UserLogout { name } => {
                engine.logout(&engine.named(&name)?.user).await?;
                Ok(done())
            }
            Request::UserResetPassword { name, password, end_devices, abandon } => {
                self.reset(&name, password, end_devices, abandon).await
            }
            Request::UserNotice { name, text } => {
                let notice = Notice::text(&text);
                let event = engine.send_notice(&engine.named(&name)?.user, notice).await?;
                Ok((Vec::new(), json!({ "event_id": event })))
            }
            Request::RetentionShow => Ok(listed("lifetimes", engine.retention.table(), Shown::line)),
            Request::ReportList => self.list_reports(),
            Request::RoomList => self.list_rooms().await,
            Request::RoomInfo { room } => {
                let room = engine.room_shown(&room_id(&room)?).await?;
                Ok((room_lines(&room), value(&room)))
            }
            Request::RoomShred { room } => {
                let Shredded { aliases, waits } = engine.shred_room(&room_id(&room)?).await?;
                let said = "No member has come since the server started: the room is destroyed when one does.";
                let lines = if waits { vec![said.to_owned()] } else { Vec::new() };
                Ok((lines, json!({ "aliases": aliases, "waits": waits })))
            }
            Request::RoomErase { room, user } => {
                let named = UserId::parse(&user).map_err(|_| Error::UnknownUser)?;
                let nameless = engine.erase_from_room(&room_id(&room)?, &named).await?;
                let said = "Another server has been in the room and knows the name: it stays. What they said is gone.";
                let lines = if nameless { Vec::new() } else { vec![said.to_owned()] };
                Ok((lines, json!({ "nameless": nameless })))
            }
            Request::RetentionState => Ok(forgetting(&engine.metrics.lateness())),
            Request::RetentionConfirmClock => Ok(forgetting(&engine.keeper.confirm_clock().await)),
            Request::TokenCreate { uses, expires_in } => self.create_token(uses, expires_in).await,
            Request::TokenList => Ok(listed("tokens", &engine.tokens()?, token_line)),
            Request::Backup { data, keys } => self.back_up(Places { data, keys }).await,
            Request::TokenRevoke { token } => {
                engine.revoke_token(&token).await?;
                Ok(done())
            }
        }
    }

    async fn add_user(&self, name: &str, password: Option<SecretText>, admin: bool) -> Result<Said, Error> {
        let (password, proposed) = self.or_proposed(password);
        let accounts = &self.0.accounts;
        let name = accounts.folded(name);
        let (account, _) = accounts.register(&name, password, None, admin, |_, _| Ok(Vec::new())).await?;
        let mut lines = vec![format!("Account: {}", account.user_id)];
        let mut data = json!({ "user_id": account.user_id });
        if name != account.user_id.localpart() {
            lines.push(format!("Login name: {name}"));
            data["login_name"] = json!(name);
        }
        show_proposed(proposed, &mut lines, &mut data);
        Ok((lines, data))
    }

    async fn reset(
        &self,
        name: &str,
        password: Option<SecretText>,
        end_devices: bool,
        abandon: bool,
    ) -> Result<Said, Error> {
        let named = self.0.named(name)?;
        let (password, proposed) = self.or_proposed(password);
        let reset = self.0.reset_password(&named, password, end_devices, abandon).await?;
        let mut lines = Vec::new();
        let mut data = json!({ "in_force": reset == Reset::Done });
        show_proposed(proposed, &mut lines, &mut data);
        if reset == Reset::Waits {
            lines.push(WAITS.to_owned());
        }
        Ok((lines, data))
    }

    async fn back_up(&self, places: Places) -> Result<Said, Error> {
        let engine = &self.0;
        let made = engine.backups.make(&engine.journals, Arc::clone(&engine.clock), &places).await?;
        let held = made.held.as_millis();
        let lines = vec![
            format!(
                "Backed up {} files, {} bytes; {} share their bytes with the server's",
                made.files, made.bytes, made.linked
            ),
            format!("Writes waited {held} ms"),
            "The key file and the data open everything together: keep them apart, and delete the key files of older \
             backups"
                .to_owned(),
        ];
        let (files, bytes, linked) = (made.files, made.bytes, made.linked);
        Ok((lines, json!({ "files": files, "bytes": bytes, "linked": linked, "held_ms": u64::try_from(held).ok() })))
    }

    async fn list_rooms(&self) -> Result<Said, Error> {
        let shown = self.0.rooms_shown().await?;
        let (mut lines, _) = listed("rooms", &shown.rooms, room_line);
        if shown.closed > 0 {
            lines.push(format!("and {} that are closed until a member comes", shown.closed));
        }
        Ok((lines, value(&shown)))
    }

    fn list_reports(&self) -> Result<Said, Error> {
        let shown = self.0.accounts.reports()?;
        let (mut lines, mut data) = listed("reports", &shown.reports, report_line);
        if shown.cold > 0 {
            lines.push(format!("{} administrators have not come since the start; they may have more", shown.cold));
        }
        data["cold_administrators"] = json!(shown.cold);
        Ok((lines, data))
    }

    async fn create_token(&self, uses: Option<u32>, expires_in: Option<u64>) -> Result<Said, Error> {
        let now = self.0.clock.now();
        let expires = expires_in.map(|seconds| now.after(std::time::Duration::from_secs(seconds)));
        let new = NewToken { text: None, uses: uses.map(u64::from), expires };
        let token = self.0.create_token(new).await?;
        Ok((vec![token.token.clone()], value(&token)))
    }

    /// The password, or a passphrase that the answer shows once.
    fn or_proposed(&self, password: Option<SecretText>) -> (SecretText, Option<SecretText>) {
        if let Some(password) = password {
            return (password, None);
        }
        let proposed = SecretText::new(passphrase(self.0.journals.random.as_ref()));
        (proposed.clone(), Some(proposed))
    }
}

/// What is said of a password that waits for its account.
const WAITS: &str = "The account is cold. It gets this password when one of its devices is used next, or when \
                     somebody logs in with the old password, who is then refused. Until then the old one stays good, \
                     and a seized disk opens with it. With --abandon-private-data it is replaced at once, and what \
                     only it opened is lost.";

fn done() -> Said {
    (Vec::new(), json!({}))
}

fn show_proposed(proposed: Option<SecretText>, lines: &mut Vec<String>, data: &mut Value) {
    if let Some(password) = proposed {
        lines.push(format!("Password: {}", password.expose()));
        data["password"] = json!(password.expose());
    }
}

fn room_id(text: &str) -> Result<OwnedRoomId, Error> {
    RoomId::parse(text).map_err(|_| Error::UnknownRoom)
}

fn listed<T: Serialize>(what: &str, items: &[T], line: fn(&T) -> String) -> Said {
    (items.iter().map(line).collect(), json!({ what: items }))
}

fn value(item: &impl Serialize) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

/// How far forgetting has got.
fn forgetting(lateness: &Lateness) -> Said {
    let overdue = lateness.overdue.as_secs();
    let waiting = |state: State| lateness.waiting[state as usize];
    let clock = if lateness.trusted { "right, as far as anybody knows" } else { "not known to be right" };
    let lines = vec![
        format!("clock: {clock}"),
        format!("expired, key not destroyed yet: {} partitions", waiting(State::Shredded)),
        format!("expired, not gone yet: {} partitions", waiting(State::Gone)),
        format!("late by: {overdue} s"),
    ];
    let waiting: serde_json::Map<_, _> =
        State::ALL.into_iter().map(|state| (state.name().to_owned(), json!(waiting(state)))).collect();
    (lines, json!({ "clock_trusted": lateness.trusted, "waiting_for": waiting, "overdue_seconds": overdue }))
}

fn user_line(user: &UserShown) -> String {
    let facts = [
        (user.admin, "administrator"),
        (user.locked, "locked"),
        (user.suspended, "suspended"),
        (user.unlimited, "unlimited"),
        (!user.open, "cold"),
    ];
    line(user.user_id.as_str(), facts)
}

/// What the reporter says cannot look like another line.
fn report_line(report: &Report) -> String {
    let date = DateTime::from_timestamp_secs(i64::try_from(report.day).unwrap_or_default().saturating_mul(DAY_S));
    let mut text = date.map_or_else(String::new, |date| date.format("%Y-%m-%d").to_string());
    let _ = write!(text, "  {} reports", report.by);
    if let Some(event) = &report.event {
        let _ = write!(text, " {event}");
    }
    if let Some(user) = &report.user {
        let _ = write!(text, "{} {user}", if report.event.is_some() { " by" } else { "" });
    }
    if let Some(room) = &report.room {
        let _ = write!(text, " in {room}");
    }
    if let Some(said) = &report.reason {
        text.push_str("  ");
        text.extend(said.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    text
}

fn token_line(token: &TokenShown) -> String {
    let mut text = line(&token.token, [(!token.valid, "ended")]);
    if let Some(left) = token.uses_left {
        let _ = write!(text, "  for {left} more");
    }
    if let Some(end) = token.expires {
        let _ = write!(text, "  until {end}");
    }
    text
}

fn room_line(room: &RoomShown) -> String {
    let facts = [(room.public, "in the directory"), (room.encryption.is_some(), "encrypted")];
    let mut text = line(room.room_id.as_str(), facts);
    let _ = write!(text, "  {} joined", room.joined_members);
    if let Some(name) = &room.name {
        let _ = write!(text, "  {name}");
    }
    text
}

fn room_lines(room: &RoomShown) -> Vec<String> {
    let Value::Object(fields) = value(room) else { return Vec::new() };
    let known = fields.into_iter().filter(|(_, value)| !value.is_null());
    known
        .map(|(field, value)| {
            format!("{}: {}", field.replace('_', " "), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect()
}

fn line<const N: usize>(name: &str, facts: [(bool, &str); N]) -> String {
    let facts: Vec<&str> = facts.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
    if facts.is_empty() { name.to_owned() } else { format!("{name}  {}", facts.join(", ")) }
}

/// Whether it can be done once somebody has come.
fn is_passing(error: Error) -> bool {
    matches!(
        error,
        Error::Cold
            | Error::UnknownRoom
            | Error::Backup(backup::Error::Busy)
            | Error::Account(accounts::Error::House(house::Error::Asleep) | accounts::Error::Busy)
    )
}

fn reason(error: Error) -> String {
    let text = match error {
        Error::Account(accounts::Error::Taken) => "the name is taken",
        Error::Account(accounts::Error::InvalidName) => "the name may contain a-z, 0-9 and . _ = - / +",
        Error::Account(accounts::Error::WeakPassword) => "the password is too easy to guess",
        Error::Account(accounts::Error::Busy) => "the server is busy: try again",
        Error::Account(accounts::Error::House(house::Error::Asleep)) => {
            "the server is asleep until somebody who has an account uses it"
        }
        Error::Account(_) | Error::Room(_) => "the server failed: see its log",
        error => return error.to_string(),
    };
    text.to_owned()
}
