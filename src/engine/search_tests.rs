//! Searches that read less than there is.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use ruma::{OwnedEventId, api::client::filter::RoomEventFilter};

use super::{
    Engine,
    testing::{Machine, founded, register},
};
use crate::{
    accounts::Session,
    event::{Draft, build::content_from, filter::EventFilter},
    rooms::Room,
    search::{Cursor, Keys, Query, Search, Terms},
};

async fn say(engine: &Engine, room: &Arc<Room>, by: &Session, text: &str) -> OwnedEventId {
    let content = content_from(&serde_json::json!({ "body": text }).to_string()).expect("canonical");
    let draft = Draft::message(&room.id, &by.account.user_id, "m.room.message", content);
    engine.rooms.send(room, draft, None).await.expect("sent")
}

fn query(term: &str, recent: bool, limit: usize, from: Option<Cursor>) -> Query {
    let keys = Keys { body: true, name: true, topic: true };
    let filter = EventFilter::of_room(RoomEventFilter::default()).expect("a small filter");
    Query { terms: Terms::parse(term), keys, rooms: None, not_rooms: Vec::new(), filter, recent, limit, from }
}

/// Pages through a search; the ids in the order they came, and how many requests it took.
async fn all(search: &Search, by: &Session, limit: usize) -> (Vec<OwnedEventId>, usize) {
    let (mut found, mut from, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = search.search(&by.account, query("word", true, limit, from)).await.expect("a page");
        assert!(page.hits.len() <= limit);
        found.extend(page.hits.iter().map(|hit| hit.entry.id()));
        pages += 1;
        let Some(next) = page.next else { return (found, pages) };
        // What a client carries is what it was given.
        let token = search.token(&by.account.user_id, &next);
        from = Some(search.cursor(&by.account.user_id, &token).expect("a token"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// However little one pass reads, whoever goes on from page to page finds everything once, the newest first.
    #[test]
    fn pages_reach_behind_the_bound(
        steps in prop::collection::vec((0..3_usize, 0..4_u64, any::<bool>()), 1..24),
        most_read in 1..12_usize,
        limit in 1..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let machine = Machine::new(1);
            let engine = machine.start().await;
            let al = register(&engine, "al").await.session;
            let mut rooms = Vec::new();
            for _ in 0..3 {
                rooms.push(founded(&engine, &al).await);
            }
            let mut said = Vec::new();
            for (at, seconds, fits) in steps {
                machine.clock.advance(Duration::from_secs(seconds * 7));
                let room = &rooms[at];
                let id = say(&engine, room, &al, if fits { "a word" } else { "nothing" }).await;
                let view = room.view();
                let entry = view.entry(&id).expect("it is there");
                if fits {
                    said.push((entry.ts, room.id.clone(), entry.position, id));
                }
            }
            said.sort_unstable();
            let expected: Vec<_> = said.into_iter().rev().map(|(.., id)| id).collect();
            let search = Search::new(Arc::clone(&engine.rooms)).reading(most_read);
            let (found, pages) = all(&search, &al, limit).await;
            prop_assert_eq!(&found, &expected);
            prop_assert!(pages <= expected.len() + 24 / most_read + 2, "every page is for something");
            Ok(())
        })?;
    }
}
