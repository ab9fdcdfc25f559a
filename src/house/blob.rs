//! Blobs that an owner keeps because something current shows them: a profile's picture, a room's.
//!
//! Such a blob lies in rows that do not expire, under a secret that stands in its owner's keep and nowhere else. Taking the
//! secret out of the keep and giving the owner a new generation destroys the blob.

use serde::{Deserialize, Serialize};

use crate::{
    random::Random,
    seal::row::{BODY, Context, Error, RowKey, RowKind, open_one, seal_one},
    secret::Key,
    store::{Address, Batch, Instance, Partition},
};

/// What is needed to read a kept blob.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeptBlob {
    /// The secret its rows are sealed and found under.
    #[serde(rename = "k")]
    secret: Key,
    /// The length of its content, bytes.
    #[serde(rename = "l")]
    pub length: u64,
    /// The content type its uploader gave.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The file name its uploader gave.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

impl KeptBlob {
    /// What one row holds of the content, bytes.
    pub const PLAIN: usize = BODY;
    const INSTANCE: Instance = Instance::Soup;
    const PARTITION: Partition = Partition::FOREVER;
    const CONTEXT: Context = Context { partition: Self::PARTITION, kind: RowKind::Media };

    /// A blob under a fresh secret, of which nothing is written yet.
    #[must_use]
    pub fn new(length: u64, content_type: Option<String>, filename: Option<String>, random: &dyn Random) -> Self {
        Self { secret: Key::random(random), length, content_type, filename }
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> u32 {
        u32::try_from(self.length.div_ceil(Self::PLAIN as u64).max(1)).unwrap_or(u32::MAX)
    }

    /// Puts the row `index` into `batch`.
    ///
    /// # Errors
    /// [`Error::TooLong`] when `plain` has more than [`KeptBlob::PLAIN`] bytes.
    pub fn put(&self, index: u32, plain: &[u8], random: &dyn Random, batch: &mut Batch) -> Result<(), Error> {
        let address = self.address(index);
        let row = seal_one(&self.secret, Self::CONTEXT, &address, plain, random)?;
        batch.put_if_absent(Self::INSTANCE, Self::PARTITION, address, row);
        Ok(())
    }

    /// Where the row `index` lies.
    #[must_use]
    pub fn place(&self, index: u32) -> (Instance, Partition, Address) {
        (Self::INSTANCE, Self::PARTITION, self.address(index))
    }

    /// Opens the row `index`.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Malformed`] for what was not written for this blob and place.
    pub fn open(&self, index: u32, row: Vec<u8>) -> Result<Vec<u8>, Error> {
        open_one(&self.secret, Self::CONTEXT, &self.address(index), row)
    }

    /// Notes in `batch` that its rows are dead: nothing shows it any more.
    pub fn retire(&self, batch: &mut Batch) {
        let rows = RowKey::new(&self.secret);
        for index in 0..self.rows() {
            batch.retire(Self::INSTANCE, Self::PARTITION, rows.address(u64::from(index)));
        }
    }

    fn address(&self, index: u32) -> Address {
        RowKey::new(&self.secret).address(u64::from(index))
    }
}
