//! Whoever has taken the disk: opens everything that can be opened, from the documented formats alone.
//!
//! Part of no server: the proof of the key protocol and the trial of forgetting are judged by it. It calls no code that
//! reads accounts, rooms, mail or tables, and holds every version of every row, so that what it cannot open is gone.

mod journals;
mod media;
mod table;

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use self::table::Tables;
use crate::{
    journal::WindowRecord,
    seal::{
        derive::{Usage, address, derive},
        mail::{MailSecret, Receiver},
        password::{Kdf, WRAP, stretch, unwrap},
        row::{Context, RowKind, open_one},
        slots::SlotId,
        token::Token,
    },
    secret::{Key, SecretText},
    store::{Address, Instance, Partition, Written},
};

/// Something that opens an account, or once did.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Credential {
    /// A login name and a password.
    Password(String, String),
    /// An access or refresh token.
    Token(String),
}

/// A copy of everything on a machine: each row and slot image ever written, the root sectors as they are.
pub struct Image {
    rows: HashMap<(Instance, Partition, Address), Vec<Vec<u8>>>,
    tables: Tables,
    /// Segment files of media, in every version.
    segments: HashMap<(Partition, u32), Vec<Vec<u8>>>,
    /// What each mail secret makes of each header.
    tried: RefCell<HashMap<Attempt, Option<Rc<Receiver>>>>,
    /// The mail of each epoch.
    mail: OnceCell<Vec<Letters>>,
    /// The entries of each journal that was read, by its key.
    journals: RefCell<HashMap<[u8; 32], Rc<Entries>>>,
}

/// A mail secret and the id of a header.
type Attempt = ([u8; 32], Vec<u8>);

/// The entries of a journal, in every version.
type Entries = Vec<Vec<u8>>;

/// Headers and what refers to them, each with the header's id.
#[derive(Default)]
struct Letters {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    items: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Image {
    /// An image of these rows, root sectors and slot images.
    #[must_use]
    pub fn new(written: &[Written], sectors: &[Vec<u8>], images: &[Vec<u8>]) -> Self {
        let mut rows: HashMap<_, Vec<Vec<u8>>> = HashMap::new();
        for (instance, partition, address, value) in written {
            rows.entry((*instance, *partition, *address)).or_default().push(value.clone());
        }
        let tables = Tables::open(sectors, images);
        Self {
            rows,
            tables,
            segments: HashMap::new(),
            tried: RefCell::default(),
            mail: OnceCell::new(),
            journals: RefCell::default(),
        }
    }

    /// This image and a later one of the same machine.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let mut tables = self.tables;
        tables.add(later.tables);
        Self { tables, rows: later.rows, segments: later.segments, ..Self::new(&[], &[], &[]) }
    }

    fn versions(&self, instance: Instance, partition: Partition, address: &Address) -> &[Vec<u8>] {
        self.rows.get(&(instance, partition, *address)).map_or(&[], Vec::as_slice)
    }

    /// The mail of every epoch, outside its seal to somebody.
    fn letters(&self) -> Vec<Letters> {
        let servers = self.tables.servers();
        let epochs = self.tables.epochs();
        pairs(&servers, &epochs)
            .map(|(server, (partition, epoch))| self.letters_of(server, *partition, epoch))
            .collect()
    }

    /// What a mail secret makes of a header, which is tried once an image.
    fn receiver(&self, attempt: Attempt, secret: &MailSecret, info: &[u8], header: &[u8]) -> Option<Rc<Receiver>> {
        let id = attempt.1.clone();
        let receive = || {
            let (encapsulation, check) = header.split_at_checked(ENCAPSULATION)?;
            let receiver = Receiver::new(secret, info, encapsulation).ok()?;
            receiver.open(&id, check).is_some().then(|| Rc::new(receiver))
        };
        self.tried.borrow_mut().entry(attempt).or_insert_with(receive).clone()
    }

    fn letters_of(&self, server: &Key, partition: Partition, epoch: &Key) -> Letters {
        let number = (u64::from(partition.class.code()) << 56) | (u64::from(partition.serial) << 16);
        let context = Context { partition, kind: RowKind::Mail };
        let key = derive(Usage::MailCipher, epoch, &[]);
        let mut letters = Letters::default();
        let (mut index, mut absent) = (0_u64, 0);
        while absent < 40 {
            let name = [number.to_le_bytes(), index.to_le_bytes()].concat();
            let place = address(server, Usage::MailAddress, &name);
            let versions = self.versions(Instance::Inbox, partition, &place);
            absent = if versions.is_empty() { absent + 1 } else { 0 };
            for row in versions {
                let Ok(plain) = open_one(&key, context, &place, row.clone()) else { continue };
                let Some(((kind, id), rest)) =
                    plain.split_first_chunk::<9>().map(|(head, rest)| (head.split_at(1), rest))
                else {
                    continue;
                };
                let letter = (id.to_vec(), rest.to_vec());
                if kind == b"h" { letters.headers.push(letter) } else { letters.items.push(letter) }
            }
            index += 1;
        }
        letters
    }
}

/// What was read.
#[derive(Default)]
pub struct Loot {
    /// The facts (`fact-<number>`) in everything that opened.
    pub facts: BTreeSet<u32>,
    /// The local names (`@<name>:localhost`) in everything that opened.
    pub names: BTreeSet<String>,
    /// How many credentials opened an account.
    pub accounts: usize,
    /// How many rows, wraps and letters opened beyond those that the server's own keys open.
    pub opened: usize,
}

/// Opens whatever `credentials` lead to in `image`.
#[must_use]
pub fn rob(image: &Image, credentials: &[Credential]) -> Loot {
    let mut thief = Thief { image, loot: Loot::default(), known: Known::default() };
    for credential in credentials {
        thief.try_credential(credential);
    }
    loop {
        let before = thief.known.size();
        thief.look_around();
        if thief.known.size() == before {
            return thief.loot;
        }
    }
}

/// A life of an account, as its login record has it.
#[derive(Deserialize)]
struct Life {
    #[serde(rename = "a")]
    account: SlotId,
    #[serde(rename = "w")]
    wraps: Vec<Wrap>,
}

/// A password's wrap.
#[derive(Deserialize)]
struct Wrap {
    #[serde(rename = "s")]
    slot: SlotId,
    #[serde(rename = "h")]
    kdf: Kdf,
    #[serde(rename = "w")]
    sealed: String,
}

/// What a wrap holds.
#[derive(Deserialize)]
struct Opening {
    #[serde(rename = "k")]
    key: Key,
    #[serde(rename = "v")]
    vault: SlotId,
}

#[derive(Default)]
struct Known {
    /// Slot and owner key of vaults and rooms.
    owners: HashSet<(SlotId, [u8; 32])>,
    house: HashSet<[u8; 32]>,
    /// Mail secrets with the account they are of.
    mail: HashMap<[u8; 32], (MailSecret, SlotId)>,
    /// Account slots by vault slot.
    accounts: HashMap<SlotId, SlotId>,
    windows: HashMap<[u8; 32], WindowRecord>,
    letters: HashSet<Vec<u8>>,
    read: HashSet<[u8; 32]>,
    media: HashSet<[u8; 16]>,
    /// The media ids that were tried.
    looked_at: HashSet<[u8; 16]>,
}

impl Known {
    fn size(&self) -> usize {
        let keys = self.owners.len() + self.house.len() + self.mail.len() + self.windows.len();
        keys + self.letters.len() + self.media.len()
    }
}

struct Thief<'a> {
    image: &'a Image,
    loot: Loot,
    known: Known,
}

/// The bytes of an encapsulation to a mail key.
const ENCAPSULATION: usize = 1120;

const HOUSE: SlotId = SlotId(*b"lethe/v1/house\0\0");

impl Thief<'_> {
    fn try_credential(&mut self, credential: &Credential) {
        for server in self.image.tables.servers() {
            match credential {
                Credential::Password(name, password) => self.try_password(&server, name, password),
                Credential::Token(text) => self.try_token(&server, text),
            }
        }
    }

    fn try_password(&mut self, server: &Key, name: &str, password: &str) {
        let (image, password) = (self.image, SecretText::new(password.to_owned()));
        let place = address(server, Usage::LoginAddress, name.as_bytes());
        let context = Context { partition: Partition::FOREVER, kind: RowKind::Login };
        for row in image.versions(Instance::Records, Partition::FOREVER, &place) {
            let plain = open_one(&derive(Usage::LoginCipher, server, &[]), context, &place, row.clone());
            let Some(lives) = plain.ok().and_then(|plain| serde_json::from_slice::<Vec<Life>>(&plain).ok()) else {
                continue;
            };
            for life in &lives {
                for wrap in &life.wraps {
                    self.try_wrap(life.account, wrap, &password);
                }
            }
        }
    }

    fn try_wrap(&mut self, account: SlotId, wrap: &Wrap, password: &SecretText) {
        let values = self.image.tables.values(&wrap.slot);
        if values.is_empty() {
            return;
        }
        let (Ok(stretched), Ok(sealed)) = (stretch(password, &wrap.kdf), URL_SAFE_NO_PAD.decode(&wrap.sealed)) else {
            return;
        };
        for (slot, account_value) in pairs(&values, &self.image.tables.values(&account)) {
            if let Some(opening) = unwrap(slot, account_value, &stretched, &sealed) {
                self.enter(account, &opening);
            }
        }
    }

    fn try_token(&mut self, server: &Key, text: &str) {
        const SEALED: usize = 1024;
        let image = self.image;
        let Some(token) = Token::parse(text) else { return };
        let place = token.address(server);
        for (partition, epoch) in image.tables.epochs() {
            let context = Context { partition, kind: RowKind::Token };
            for row in image.versions(Instance::Soup, partition, &place) {
                let Ok(plain) = open_one(&derive(Usage::TokenCipher, &epoch, &[]), context, &place, row.clone()) else {
                    continue;
                };
                for way in plain.chunks_exact(16 + SEALED) {
                    if let Some((slot, sealed)) = way.split_first_chunk::<16>() {
                        self.try_way(&token, SlotId(*slot), (context, &place), sealed);
                    }
                }
            }
        }
    }

    /// Tries one of the seals in a token's row.
    fn try_way(&mut self, token: &Token, slot: SlotId, (context, place): (Context, &Address), sealed: &[u8]) {
        for value in self.image.tables.values(&slot) {
            let outer = derive(Usage::Wrap, &value, &[&[0; 32], token.secret().expose()]);
            let Ok(named) = open_one(&outer, context, place, sealed.to_vec()) else { continue };
            self.loot.opened += 1;
            let Some((account, inner)) = named.split_first_chunk::<16>() else { continue };
            let account = SlotId(*account);
            for account_value in self.image.tables.values(&account) {
                let opening = unwrap(&value, &account_value, &token.secret(), inner.get(..WRAP).unwrap_or_default());
                if let Some(opening) = opening {
                    self.enter(account, &opening);
                }
            }
        }
    }

    fn enter(&mut self, account: SlotId, opening: &[u8]) {
        let Ok(opening) = serde_json::from_slice::<Opening>(opening) else { return };
        self.loot.accounts += 1;
        self.loot.opened += 1;
        self.known.accounts.insert(opening.vault, account);
        self.known.owners.insert((opening.vault, *opening.key.expose()));
    }

    fn look_around(&mut self) {
        let house: Vec<_> = self.known.house.iter().map(|key| (HOUSE, *key)).collect();
        let owners: Vec<_> = self.known.owners.iter().copied().chain(house).collect();
        for (slot, key) in owners {
            for value in self.image.tables.values(&slot) {
                self.read_keep(slot, &value, &Key::from_bytes(key));
            }
        }
        let windows: Vec<WindowRecord> = self.known.windows.values().cloned().collect();
        for record in windows {
            self.read_window(&record);
        }
        self.read_mail();
        self.read_media();
    }

    fn read_mail(&mut self) {
        let image = self.image;
        for letters in image.mail.get_or_init(|| image.letters()) {
            self.open_letters(letters);
        }
    }

    fn open_letters(&mut self, letters: &Letters) {
        let secrets: Vec<_> = self.known.mail.iter().map(|(name, secret)| (*name, secret.clone())).collect();
        for (name, (secret, account)) in secrets {
            let info = [&b"lethe/v1/mail"[..], &account.0].concat();
            for (id, header) in &letters.headers {
                let Some(receiver) = self.image.receiver((name, id.clone()), &secret, &info, header) else { continue };
                for (_, item) in letters.items.iter().filter(|(of, _)| of == id) {
                    if let Some(plain) = receiver.open(id, item) {
                        self.read_letter(plain);
                    }
                }
            }
        }
    }

    fn read_letter(&mut self, plain: Vec<u8>) {
        self.read_text(&plain);
        if let Ok(letter) = serde_json::from_slice::<Value>(&plain) {
            let house = letter.get("h").and_then(|key| serde_json::from_value::<Key>(key.clone()).ok());
            self.known.house.extend(house.map(|key| *key.expose()));
            self.gather(&letter);
        }
        if self.known.letters.insert(plain) {
            self.loot.opened += 1;
        }
    }

    /// Notes the facts in what was opened.
    fn read_text(&mut self, plain: &[u8]) {
        let text = String::from_utf8_lossy(plain);
        for found in text.split("fact-").skip(1) {
            let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
            self.loot.facts.extend(digits.parse::<u32>());
        }
        self.note_media(&text);
        for found in text.replace("%40", "@").replace("%3A", ":").split('@').skip(1) {
            let name = found.split_once(":localhost").filter(|(_, rest)| !rest.starts_with('.'));
            self.loot.names.extend(name.map(|(name, _)| name.to_owned()));
        }
    }

    /// Notes every pair of a slot and a key, wherever it stands in what was opened.
    fn gather(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.gather(item)),
            Value::Object(fields) => {
                if let (Some(slot), Some(keys)) = (fields.get("s"), fields.get("k")) {
                    let keys = keys.as_array().cloned().unwrap_or_else(|| vec![keys.clone()]);
                    // That of a public room has the next one beside it while it is replaced.
                    for key in keys.into_iter().chain(fields.get("n").cloned()) {
                        let (slot, key) = (serde_json::from_value(slot.clone()), serde_json::from_value::<Key>(key));
                        if let (Ok(slot), Ok(key)) = (slot, key) {
                            self.known.owners.insert((slot, *key.expose()));
                        }
                    }
                }
                fields.values().for_each(|field| self.gather(field));
            }
            _ => {}
        }
    }
}

fn pairs<'a, A, B>(left: &'a [A], right: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    left.iter().flat_map(move |a| right.iter().map(move |b| (a, b)))
}
