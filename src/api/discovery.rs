//! What clients ask before anything else: which versions and features the server speaks.

use std::{collections::BTreeMap, sync::Arc};

use ruma::api::client::discovery::get_supported_versions;

use crate::{
    api::{Routes, Ruma, RumaRouter, Services},
    error::Error,
};

pub(super) fn routes(router: Routes) -> Routes {
    router.ruma(versions)
}

/// Released versions of the specification whose endpoints this server answers.
const VERSIONS: &[&str] = &[
    "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
    "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
];

/// Features that clients look for by name before they use them.
const FEATURES: &[&str] = &[
    // Cross-signing set-up of older Element Web.
    "org.matrix.e2e_cross_signing",
    // Simplified sliding sync: what Element X needs.
    "org.matrix.simplified_msc3575",
    // Filtering the room directory by room type.
    "org.matrix.msc3827.stable",
    // Private receipts.
    "org.matrix.msc2285.stable",
    // Threads, their receipts and unread counts, and relations of relations.
    "org.matrix.msc3440.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3773",
    "org.matrix.msc3981",
    // The rooms that two users share, and the name some clients look for.
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    // Filtering pages of a timeline by relation.
    "org.matrix.msc3874",
    // Mentions by intent.
    "org.matrix.msc3952_intentional_mentions",
    // Polls' push rules, and silencing a device from another.
    "org.matrix.msc3930",
    "org.matrix.msc3890",
    // Threads that are followed, and sliding sync's part of it.
    "org.matrix.msc4306",
    "org.matrix.msc4308",
    // Events sent later: how calls learn that somebody is gone.
    "org.matrix.msc4140",
    // Custom profile fields, profiles in sliding sync, and names that are shown in some rooms only.
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
    "org.matrix.msc4262",
    "computer.gingershaped.msc4466",
    // How long rooms keep their messages.
    "org.matrix.msc1763",
    // Dehydrated devices.
    "org.matrix.msc3814",
    // Deleting account data.
    "org.matrix.msc3391",
    // Refusing and hiding invitations.
    "org.matrix.msc4155",
    "org.matrix.msc4380.stable",
];

/// `GET /_matrix/client/versions`
async fn versions(
    _services: Arc<Services>,
    _request: Ruma<get_supported_versions::Request>,
) -> Result<get_supported_versions::Response, Error> {
    let mut response =
        get_supported_versions::Response::new(VERSIONS.iter().map(|&version| version.to_owned()).collect());
    response.unstable_features = FEATURES.iter().map(|&name| (name.to_owned(), true)).collect::<BTreeMap<_, _>>();
    Ok(response)
}
