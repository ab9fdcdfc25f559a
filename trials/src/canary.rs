//! The search for canaries: a marker in every field a client can fill, then a search of the disk and the logs.
//!
//! On the ordinary build nothing may be found. On a build without sealing everything that is stored must be found,
//! field by field, and what is never stored must not be: so the search can fail in both directions.

mod account;
mod administration;
mod asked;
mod members;
mod rooms;
mod search;
mod story;
mod web;

use std::{collections::BTreeMap, path::Path};

use rand::{RngExt, rng};
use serde_json::Value;

use self::{
    search::{read_files, read_rows, search},
    web::Web,
};
use crate::{
    http::{Answer, Client},
    process::Process,
};

/// Whether a field's value lies somewhere on the disk, under seal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Stored,
    Never,
}

/// Markers and identifiers by the field they were put into.
#[derive(Default)]
struct Markers(BTreeMap<String, (String, Kept)>);

impl Markers {
    /// A fresh marker for a field.
    fn make(&mut self, field: &str, kept: Kept) -> String {
        let letters = (0..14).map(|_| char::from(b'a' + rng().random_range(0..26_u8)));
        let marker: String = "cnry".chars().chain(letters).collect();
        self.note(field, &marker, kept);
        marker
    }

    /// A fresh marker for something that is stored.
    fn stored(&mut self, field: &str) -> String {
        self.make(field, Kept::Stored)
    }

    /// A fresh marker for something that is never stored.
    fn never(&mut self, field: &str) -> String {
        self.make(field, Kept::Never)
    }

    /// A value the server or the story made.
    fn note(&mut self, field: &str, value: &str, kept: Kept) {
        let before = self.0.insert(field.to_owned(), (value.to_owned(), kept));
        assert!(before.is_none(), "there is a marker for {field} already");
    }
}

/// Somebody with an account.
struct Person {
    client: Client,
    user: String,
    password: String,
}

impl Person {
    fn get(&mut self, path: &str) -> Value {
        good(path, self.client.get(path))
    }

    fn put(&mut self, path: &str, body: &Value) -> Value {
        good(path, self.client.put(path, body))
    }

    fn post(&mut self, path: &str, body: &Value) -> Value {
        good(path, self.client.post(path, body))
    }
}

fn good(path: &str, answer: Option<Answer>) -> Value {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    answer.json()
}

/// Who tells the story.
struct Teller<'a> {
    markers: &'a mut Markers,
    /// Whose every field has a marker.
    me: Person,
    other: Person,
    /// Who administers the server.
    root: Option<Person>,
    web: Web,
}

pub(crate) fn run(sealed: &Path, unsealed: &Path) {
    let (markers, places) = story(sealed);
    let hits = search(&markers, &places);
    let found: Vec<_> = hits.iter().filter(|(_, places)| !places.is_empty()).collect();
    for (field, places) in &found {
        println!("FOUND {field} in {places:?}");
    }
    println!("canaries: {} markers and ids, {} files searched, {} hits", markers.0.len(), places.len(), found.len());
    assert!(found.is_empty(), "the disk or the logs say what they must not");

    let (markers, places) = story(unsealed);
    let hits = search(&markers, &places);
    println!("control, a build without sealing:");
    let mut wrong = Vec::new();
    for (field, (_, kept)) in &markers.0 {
        let there = !hits[field].is_empty();
        println!("  {field}: {}", if there { "found" } else { "not found" });
        if there != (*kept == Kept::Stored) {
            wrong.push((field, &hits[field]));
        }
    }
    assert!(wrong.is_empty(), "the control disagrees about {wrong:?}");
}

/// What the story needs turned on.
const SETTINGS: &str = "[push]\nallow = [\"127.0.0.1\"]\n[presence]\nenabled = true\n\
                        [url_previews]\nenabled = true\nallow = [\"127.0.0.1\"]\n\
                        [server_notices]\nlocalpart = \"notices\"\n";

/// Tells the story on a fresh server; its markers, and the contents of every file and every row it left.
fn story(binary: &Path) -> (Markers, Vec<(String, Vec<u8>)>) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let mut server = Process::configured(binary, directory.path(), SETTINGS);
    let mut markers = Markers::default();
    story::tell(&mut server, &mut markers);
    // Whoever stops a server properly finds less: what was replaced is gone by then.
    server.kill();
    let mut places = Vec::new();
    read_files(directory.path(), &mut places);
    places.retain(|(name, _)| !name.ends_with("lethe.toml"));
    read_rows(&directory.path().join("data"), &mut places);
    (markers, places)
}
