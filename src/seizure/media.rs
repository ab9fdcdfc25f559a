//! Blobs whose ids were found.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{Image, Thief};
use crate::{
    seal::{
        blob::{BlobKey, Shape},
        derive::{Usage, address},
        row::{Context, RowKind, open_one},
    },
    store::{Instance, Partition},
};

/// Where a blob lies.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "l")]
    length: u64,
    #[serde(rename = "s")]
    segment: u32,
    #[serde(rename = "o")]
    offset: u64,
}

impl Image {
    /// Adds the bytes of a segment file, as it was at some time.
    pub fn add_segment(&mut self, partition: Partition, number: u32, bytes: Vec<u8>) {
        self.segments.entry((partition, number)).or_default().push(bytes);
    }

    /// What the blob `id` says, in every version that opens.
    fn blobs(&self, id: [u8; 16]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for server in self.tables.servers() {
            let place = address(&server, Usage::MediaAddress, &id);
            for (partition, epoch) in self.tables.epochs() {
                let (key, context) = (BlobKey::new(&epoch, &id), Context { partition, kind: RowKind::Media });
                for row in self.versions(Instance::Soup, partition, &place) {
                    let Ok(plain) = open_one(key.head(), context, &place, row.clone()) else { continue };
                    found.push(plain.clone());
                    if let Ok(head) = serde_json::from_slice(&plain) {
                        found.extend(self.contents(partition, &key, &head));
                    }
                }
            }
        }
        found
    }

    fn contents(&self, partition: Partition, key: &BlobKey, head: &Head) -> Vec<Vec<u8>> {
        let versions = self.segments.get(&(partition, head.segment));
        versions.into_iter().flatten().filter_map(|bytes| content(bytes, key, head)).collect()
    }
}

fn content(segment: &[u8], key: &BlobKey, head: &Head) -> Option<Vec<u8>> {
    let shape = Shape::of(head.length);
    let mut content = Vec::new();
    for index in 0..shape.chunks() {
        let (start, size) = shape.sealed(index);
        let from = usize::try_from(head.offset.checked_add(start)?).ok()?;
        let chunk = segment.get(from..from.checked_add(size)?)?;
        content.extend(key.open(index, chunk.to_vec()).ok()?);
    }
    Some(content)
}

impl Thief<'_> {
    /// Notes the media ids in what was opened.
    pub(super) fn note_media(&mut self, text: &str) {
        for found in text.split("mxc://").skip(1) {
            let id = found.split_once('/').and_then(|(_, rest)| rest.get(..22));
            let mut bytes = [0; 16];
            if id.is_some_and(|id| URL_SAFE_NO_PAD.decode_slice(id, &mut bytes) == Ok(bytes.len())) {
                self.known.media.insert(bytes);
            }
        }
    }

    pub(super) fn read_media(&mut self) {
        let fresh: Vec<_> = self.known.media.difference(&self.known.looked_at).copied().collect();
        for id in fresh {
            self.known.looked_at.insert(id);
            for plain in self.image.blobs(id) {
                self.loot.opened += 1;
                self.read_text(&plain);
            }
        }
    }
}
