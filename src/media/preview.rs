//! Previews: what a page says about itself, for messages that link to it
//! ([spec](https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1mediapreview_url)).
//!
//! Owns which pages are loaded and how much of them, and a cache of previews in RAM, which knows no addresses but only
//! their hashes. Pictures become media that live for a day. Nothing tells anybody, in a log or on the disk, which page was
//! asked for or by whom.

mod page;
mod text;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderValue, USER_AGENT},
};
use quick_cache::{Weighter, sync::Cache};
use ruma::UserId;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

use super::{Error, Info, Media, thumbnail};
use crate::outbound::{Answer, Bounds, Client};

/// Pages loaded at once: each holds a page and a picture in memory.
const AT_ONCE: usize = 4;
/// The longest address taken, bytes: what browsers take in practice.
const LONGEST_ADDRESS: usize = 4096;
/// Redirects followed: link shorteners behind link shorteners.
const REDIRECTS: u8 = 5;
/// How long it is remembered that a page cannot be previewed.
const FAILURE: Duration = Duration::from_mins(1);
/// What a cached preview costs beside its text.
const OVERHEAD: u64 = 200;
/// What pages see. It names no software and no server.
const AGENT: HeaderValue = HeaderValue::from_static("Mozilla/5.0 (compatible; LinkPreviewBot)");
const PAGES: HeaderValue = HeaderValue::from_static("text/html, application/xhtml+xml, image/*;q=0.5");
const PICTURES: HeaderValue = HeaderValue::from_static("image/png, image/jpeg, image/webp, image/gif");

/// What the configuration says about previews.
#[derive(Clone)]
pub struct Policy {
    /// What sends the requests.
    pub client: Client,
    /// The languages pages are asked for in.
    pub languages: String,
    /// How much of a page is read, bytes.
    pub max_page: usize,
    /// The largest picture, bytes.
    pub max_image: usize,
    /// How long loading may take.
    pub timeout: Duration,
    /// How long a preview is kept.
    pub lifetime: Duration,
    /// The most memory for previews, bytes.
    pub cache: u64,
}

/// A preview: OpenGraph's properties, with the picture as media.
pub type Preview = Map<String, Value>;

/// The previews that were made, and what makes more.
pub(super) struct Previews {
    policy: Policy,
    cache: Cache<[u8; 32], Cached, ByText>,
    places: Semaphore,
}

/// What became of a page: its preview as text, or nothing.
#[derive(Clone)]
struct Cached {
    /// When it ends, in steady time.
    until: Duration,
    preview: Option<Arc<str>>,
}

#[derive(Clone)]
struct ByText;

impl Weighter<[u8; 32], Cached> for ByText {
    fn weight(&self, _key: &[u8; 32], cached: &Cached) -> u64 {
        cached.preview.as_ref().map_or(0, |text| text.len() as u64) + OVERHEAD
    }
}

impl Previews {
    pub(super) fn new(policy: Policy) -> Self {
        // An ordinary preview has some 500 bytes.
        let items = usize::try_from(policy.cache / 512).unwrap_or(0).max(16);
        let cache = Cache::with_weighter(items, policy.cache, ByText);
        Self { policy, cache, places: Semaphore::new(AT_ONCE) }
    }
}

impl Media {
    /// The preview of the page at `address`, empty when the page says nothing about itself. Its picture counts as an
    /// upload by `user`.
    ///
    /// # Errors
    /// [`Error::NoPreviews`] where they are off, [`Error::NotAnAddress`], [`Error::NoPage`].
    pub async fn preview(self: &Arc<Self>, user: &UserId, address: &str) -> Result<Preview, Error> {
        let previews = self.previews.as_ref().ok_or(Error::NoPreviews)?;
        let url = parse(address)?;
        let key: [u8; 32] = blake3::hash(url.as_str().as_bytes()).into();
        let now = self.clock.monotonic();
        previews.cache.remove_if(&key, |cached| cached.until <= now);
        // Whoever asks for the same page meanwhile waits for the same answer.
        let made = previews.cache.get_or_insert_async(&key, async {
            let loaded = self.load(previews, user, url).await;
            let preview = loaded.and_then(|loaded| Some(serde_json::to_string(&loaded).ok()?.into()));
            let lifetime = if preview.is_some() { previews.policy.lifetime } else { FAILURE };
            Ok::<_, Error>(Cached { until: self.clock.monotonic() + lifetime, preview })
        });
        let text = made.await?.preview.ok_or(Error::NoPage)?;
        serde_json::from_str(&text).map_err(|_| Error::NoPage)
    }

    async fn load(self: &Arc<Self>, previews: &Previews, user: &UserId, url: Url) -> Option<Preview> {
        let work = async {
            let _place = previews.places.acquire().await.ok()?;
            let answer = previews.get(url, PAGES).await?;
            let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let kind = kind.to_ascii_lowercase();
            if kind.starts_with("image/") {
                let mut preview = Preview::new();
                self.add_picture(previews, user, answer, &mut preview).await?;
                return Some(preview);
            }
            if !kind.starts_with("text/html") && !kind.starts_with("application/xhtml+xml") {
                return Some(Preview::new());
            }
            let from = answer.url().clone();
            let (page, whole) = answer.read(previews.policy.max_page).await.ok()?;
            let facts =
                tokio::task::spawn_blocking(move || page::read(&text::decode(&page, whole, &kind))).await.ok()?;
            let picture = facts.picture.as_ref().and_then(|address| facts.base(&from).join(address).ok());
            let mut preview = facts.properties;
            if let Some(picture) = picture
                && let Some(answer) = previews.get(picture, PICTURES).await
            {
                // A page without its picture is better than none.
                let _ = self.add_picture(previews, user, answer, &mut preview).await;
            }
            Some(preview)
        };
        tokio::time::timeout(previews.policy.timeout, work).await.ok().flatten()
    }

    /// Keeps the picture in `answer` and tells of it in `preview`.
    async fn add_picture(
        self: &Arc<Self>,
        previews: &Previews,
        user: &UserId,
        answer: Answer,
        preview: &mut Preview,
    ) -> Option<()> {
        let (bytes, whole) = answer.read(previews.policy.max_image).await.ok()?;
        let (content_type, (width, height)) = thumbnail::look_at(&bytes).ok().filter(|_| whole)?;
        let length = bytes.len();
        let id = self.keep_for_a_while(user, content_type, bytes).await.ok()?;
        let uri = format!("mxc://{}/{}", self.policy.server_name, id.text());
        preview.insert("og:image".to_owned(), uri.into());
        preview.insert("og:image:type".to_owned(), content_type.into());
        preview.insert("og:image:width".to_owned(), width.into());
        preview.insert("og:image:height".to_owned(), height.into());
        preview.insert("matrix:image:size".to_owned(), length.into());
        Some(())
    }

    async fn keep_for_a_while(
        self: &Arc<Self>,
        user: &UserId,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<super::MediaId, Error> {
        let mut upload = self.upload_for(self.policy.remote, user, None, bytes.len() as u64).await?;
        upload.push(&bytes).await?;
        upload.finish(Info::new(Some(content_type.to_owned()), None)).await
    }
}

impl Previews {
    /// The answer to a request for `url`, if it is a good one.
    async fn get(&self, url: Url, accept: HeaderValue) -> Option<Answer> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, accept);
        if let Ok(languages) = HeaderValue::from_str(&self.policy.languages) {
            headers.insert(ACCEPT_LANGUAGE, languages);
        }
        let bounds = Bounds { time: self.policy.timeout, redirects: REDIRECTS };
        self.policy.client.get(url, &headers, bounds).await.ok().filter(|answer| answer.status() == 200)
    }
}

/// An address of the web. What is behind `#` is for whoever shows the page.
fn parse(address: &str) -> Result<Url, Error> {
    let mut url = Url::parse(address).ok().filter(|_| address.len() <= LONGEST_ADDRESS).ok_or(Error::NotAnAddress)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Error::NotAnAddress);
    }
    url.set_fragment(None);
    Ok(url)
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use url::Url;

    use super::{page, text};

    /// What a page says about itself, as JSON, and where its picture is.
    pub(crate) fn read(bytes: &[u8], content_type: &str, whole: bool) -> (String, Option<Url>) {
        let facts = page::read(&text::decode(bytes, whole, content_type));
        let at = Url::parse("https://example.org/a/b").expect("a URL");
        let base = facts.base(&at);
        let picture = facts.picture.as_ref().and_then(|picture| base.join(picture).ok());
        (serde_json::to_string(&facts.properties).expect("JSON"), picture)
    }
}
