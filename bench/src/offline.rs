//! What is measured without a server in between: rows, passwords, and the upkeep of files that no process has open.

use std::{
    convert::Infallible,
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use lethe::{
    clock::SystemClock,
    config::Config,
    engine::Engine,
    random::{OsRandom, Random},
    seal::{
        password::{Kdf, stretch},
        row::{Context, EntryHash, Primer, RowKey, RowKind, open_entry, seal_entry},
    },
    secret::{Key, SecretText},
    store::Partition,
};

use crate::{events::Writer, figures::micros, user::PASSWORD};

/// Rows sealed at a stretch, and stretches: the quickest stands for all, as others only take time away.
const TIMES: u32 = 1000;
const STRETCHES: usize = 20;

/// Microseconds that sealing and opening an ordinary event take: compressing, enciphering, hashing, and back.
pub(crate) fn row_speed() -> (f64, f64) {
    let writer = Writer::new();
    let primer = Primer::new(writer.content().as_bytes());
    let plain = format!(r#"{{"i":"$abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq","e":{}}}"#, writer.content());
    let (key, context) =
        (RowKey::new(&Key::random(&OsRandom)), Context { partition: Partition::FOREVER, kind: RowKind::Window });
    let seal = |index| {
        seal_entry(&key, index, context, &EntryHash::NONE, plain.as_bytes(), &primer, &OsRandom).expect("short")
    };
    let sealing = quickest(&mut || _ = black_box(seal(0)));
    let row = seal(0).rows.swap_remove(0).1;
    let opening = quickest(&mut || {
        let opened = open_entry::<Infallible>(&key, 0, context, &primer, &mut |_| Ok(Some(row.clone())));
        assert!(opened.is_ok_and(|opened| opened.is_some()), "it opens");
    });
    (sealing, opening)
}

/// Microseconds that `work` takes in the quickest stretch.
fn quickest(work: &mut dyn FnMut()) -> f64 {
    let stretches = (0..STRETCHES).map(|_| {
        let began = Instant::now();
        (0..TIMES).for_each(|_| work());
        micros(began.elapsed()) / f64::from(TIMES)
    });
    stretches.fold(f64::INFINITY, f64::min)
}

/// Microseconds that one password check takes by itself.
pub(crate) fn password_speed() -> f64 {
    let (password, kdf) = (SecretText::new(PASSWORD.to_owned()), Kdf::standard(&OsRandom as &dyn Random));
    let began = Instant::now();
    assert!(stretch(&password, &kdf).is_ok(), "the standard parameters are allowed");
    micros(began.elapsed())
}

/// Opens every room with a member's token, packs until nothing is left to pack, merges; how long the packing and the
/// merging took.
pub(crate) async fn pack(config: &Path, keys: &[(String, String)]) -> Duration {
    let engine = open(config).await;
    for (token, room) in keys {
        let session = engine.accounts.session(token).await.unwrap_or_else(|_| panic!("a token"));
        let room = room.as_str().try_into().expect("a room id");
        engine.rooms.joined(room, &session.account).await.unwrap_or_else(|_| panic!("a room"));
    }
    let began = Instant::now();
    engine.pack().await;
    engine.merge().await;
    let took = began.elapsed();
    engine.close().await;
    took
}

/// Merges every partition.
pub(crate) async fn merge(config: &Path) {
    let engine = open(config).await;
    engine.merge().await;
    engine.close().await;
}

async fn open(config: &Path) -> Engine {
    let config = Config::load(Some(config)).expect("the server took it");
    let engine = Engine::open(&config, Arc::new(SystemClock::new()), Arc::new(OsRandom)).await;
    engine.unwrap_or_else(|_| panic!("the files of a stopped server"))
}
