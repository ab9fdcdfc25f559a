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
    // Where anybody may come in, strangers find only whom they already share a room with.
    let known = (services.config.registration.mode == RegistrationMode::Open)
        .then(|| acquaintances(&services, &request.session));
    let mut results = Vec::new();
    for (name, entry) in &house.accounts {
        let Some(user) = localpart(&services, name) else { continue };
        let hidden = user == request.session.user_id
            || known.as_ref().is_some_and(|known| !known.contains(&user))
            || !services.engine.journals.slots.contains(&entry.slot);
        if hidden || !matches(&house, &user, &term) {
            continue;
        }
        if results.len() == most {
            return Ok(Response::new(results, true));
        }
        results.push(show(&house, user));
    }
    Ok(Response::new(results, false))
}

/// Members of the rooms that the caller is in.
fn acquaintances(services: &Services, session: &Session) -> BTreeSet<OwnedUserId> {
    let view = session.account().view();
    let rooms = view.rooms.keys().filter_map(|id| services.engine.rooms.find(id)).map(|room| room.view());
    let shared = rooms.filter(|room| room.is_joined(&session.user_id));
    shared.flat_map(|room| room.state.joined().map(UserId::to_owned).collect::<Vec<_>>()).collect()
}

fn matches(house: &HouseLedger, user: &UserId, term: &str) -> bool {
    let shown = house.profiles.get(user.localpart()).and_then(|profile| profile.text("displayname"));
    user.as_str().trim_start_matches('@').contains(term) || shown.is_some_and(|name| name.to_lowercase().contains(term))
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
