//! Finding people ([spec](https://spec.matrix.org/latest/client-server-api/#user-directory)).

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    OwnedMxcUri, OwnedUserId, UserId,
    api::client::user_directory::search_users::v3::{Request, Response, User},
};

use crate::{
    api::{Routes, Ruma, RumaRouter, Services, Session},
    config::RegistrationMode,
    error::Error,
    house::HouseLedger,
    rooms::core::Access,
};

/// Results of one search.
const MOST_RESULTS: usize = 50;

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(search)
}

/// `POST /_matrix/client/v3/user_directory/search`
async fn search(services: Arc<Services>, request: Ruma<Request>) -> Result<Response, Error> {
    let house = services.engine.house.view()?;
    let term = request.body.search_term.trim().trim_start_matches('@').to_lowercase();
    let most = usize::try_from(u64::from(request.body.limit)).unwrap_or(MOST_RESULTS).min(MOST_RESULTS);
    // Where anybody may come in, strangers find only whom they share a room with, and who is in a room for everybody.
    let known = match services.config.registration.mode {
        RegistrationMode::Open => Some(visible(&services, &request.session).await),
        _ => None,
    };
    let mut found = Vec::new();
    for (name, entry) in &house.accounts {
        let Some(user) = localpart(&services, name) else { continue };
        let hidden = user == request.session.user_id
            || known.as_ref().is_some_and(|known| !known.contains(&user))
            || entry.locked
            || !services.engine.journals.slots.contains(&entry.slot);
        if let Some(rank) = rank(&house, &user, &term).filter(|_| !hidden) {
            found.push((rank, user));
        }
    }
    found.sort_unstable();
    let limited = found.len() > most;
    let shown = found.into_iter().take(most).map(|(_, user)| show(&house, user));
    Ok(Response::new(shown.collect(), limited))
}

/// Members of the rooms that the caller is in, and of those that anybody may join or read.
async fn visible(services: &Services, session: &Session) -> BTreeSet<OwnedUserId> {
    let (rooms, account) = (&services.engine.rooms, session.account());
    let mut found = BTreeSet::new();
    let public: Vec<_> =
        services.engine.house.view().map_or_else(|_| Vec::new(), |house| house.public.keys().cloned().collect());
    for id in public {
        // Public rooms open with what the house holds.
        let _ = rooms.reach(&id, account).await;
    }
    for room in rooms.all_open() {
        let view = room.view();
        let open = view.state.access(&view.rules.authorization) == Access::Public
            || view.state.history_visibility() == "world_readable";
        if open || view.is_joined(&session.user_id) {
            found.extend(view.state.joined().map(UserId::to_owned));
        }
    }
    found
}

/// How well an account fits the term: the least fits best; nothing when it does not. Who shows a name comes before who
/// shows none.
fn rank(house: &HouseLedger, user: &UserId, term: &str) -> Option<(u8, bool)> {
    let shown = house.profiles.get(user.localpart()).and_then(|profile| profile.text("displayname"));
    let name = shown.map(str::to_lowercase);
    let texts = [Some(user.localpart()), Some(user.as_str().trim_start_matches('@')), name.as_deref()];
    let fit = |text: &str| match text.find(term)? {
        0 if text.len() == term.len() => Some(0),
        0 => Some(1),
        at if !text.get(..at)?.ends_with(char::is_alphanumeric) => Some(2),
        _ => Some(3),
    };
    let best = texts.into_iter().flatten().filter_map(fit).min()?;
    Some((best, name.is_none()))
}

fn localpart(services: &Services, name: &str) -> Option<OwnedUserId> {
    UserId::parse(format!("@{name}:{}", services.engine.accounts.policy().server_name)).ok()
}

fn show(house: &HouseLedger, user: OwnedUserId) -> User {
    let profile = house.profiles.get(user.localpart());
    let text = |field| profile.and_then(|profile| profile.text(field)).map(str::to_owned);
    let (name, avatar) = (text("displayname"), text("avatar_url"));
    let mut shown = User::new(user);
    shown.display_name = name;
    shown.avatar_url = avatar.map(OwnedMxcUri::from);
    shown
}
