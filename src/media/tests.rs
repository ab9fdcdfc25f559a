//! Blobs on a disk, across restarts and epochs, and thumbnails of pictures made here.

use std::{fs, io::Cursor, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use image::{DynamicImage, ImageBuffer, ImageFormat, Rgb, Rgba};
use ruma::{UserId, owned_server_name, user_id};
use tempfile::TempDir;

use super::{Claim, Error, Info, Media, MediaId, Policy, Wanted};
use crate::{
    clock::{Clock, ManualClock, Timestamp},
    journal::Journals,
    random::{Random, SeededRandom},
    seal::{
        blob::PLAIN,
        epochs::Epochs,
        slots::{MemoryMedium, Slots},
    },
    store::{Class, MemoryBackend, Store},
};

fn uploader() -> &'static UserId {
    user_id!("@al:localhost")
}

/// What outlives a process.
struct Place {
    backend: Arc<MemoryBackend>,
    medium: Arc<MemoryMedium>,
    clock: Arc<ManualClock>,
    random: Arc<dyn Random>,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let medium = Arc::new(MemoryMedium::with_fuse(backend.fuse()));
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let random = Arc::new(SeededRandom::new(1));
        Self { backend, medium, clock, random, directory: TempDir::new().unwrap() }
    }

    /// A process's view of what lies here.
    async fn start(&self) -> Arc<Media> {
        let store = Store::inline(Arc::clone(&self.backend) as _);
        let random = Arc::clone(&self.random);
        let slots = Slots::open(Arc::clone(&self.medium) as _, store.clone(), Arc::clone(&random)).await.unwrap();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let epochs = Epochs::new(slots.clone(), store.clone(), clock, Arc::clone(&random));
        let policy = Policy {
            directory: self.directory.path().join("media"),
            class: Class::Day,
            remote: Class::Day,
            max_upload: 1 << 20,
            quota: 2 << 20,
            thumbnail_cache: 1 << 20,
            server_name: owned_server_name!("localhost"),
            previews: None,
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let journals = Journals { store, slots, epochs, random, packs: crate::journal::Packs::default() };
        Arc::new(Media::new(journals, clock, policy))
    }

    /// Lets two days pass.
    async fn age(&self, media: &Media) {
        self.clock.advance(Duration::from_hours(49));
        media.journals.epochs.expire(self.clock.now()).await.unwrap();
    }

    /// Every byte in segment files.
    fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for partition in fs::read_dir(self.directory.path().join("media")).unwrap() {
            for segment in fs::read_dir(partition.unwrap().path()).unwrap() {
                all.extend(fs::read(segment.unwrap().path()).unwrap());
            }
        }
        all
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

fn info() -> Info {
    Info::new(Some("text/x-canary".to_owned()), Some("canary.txt".to_owned()))
}

async fn put(media: &Arc<Media>, bytes: &[u8]) -> Result<MediaId, Error> {
    let mut upload = media.upload(uploader(), None, bytes.len() as u64).await?;
    for piece in bytes.chunks(10_007) {
        upload.push(piece).await?;
    }
    upload.finish(info()).await
}

async fn get(media: &Arc<Media>, id: MediaId) -> Result<Vec<u8>, Error> {
    let blob = media.open(id).await?;
    assert!(blob.info == info());
    let length = blob.length();
    let whole = blob.into_body().collect().await?.to_bytes().to_vec();
    assert_eq!(whole.len() as u64, length);
    Ok(whole)
}

#[tokio::test]
async fn blobs_come_back_whole_also_after_a_restart() {
    let place = Place::new();
    let media = place.start().await;
    let mut kept = Vec::new();
    for length in [0, 1, 4056, 4057, PLAIN - 1, PLAIN, PLAIN + 1, 2 * PLAIN, 3 * PLAIN + 5] {
        let id = put(&media, &content(length)).await.unwrap();
        assert_eq!(get(&media, id).await.unwrap(), content(length), "{length}");
        kept.push((id, length));
    }
    let before = place.bytes().len();
    let media = place.start().await;
    for (id, length) in &kept {
        assert_eq!(get(&media, *id).await.unwrap(), content(*length), "{length}");
    }
    let id = put(&media, b"later").await.unwrap();
    assert_eq!(get(&media, id).await.unwrap(), b"later");
    assert_eq!(place.bytes().len(), before + 4096);
    assert_eq!(get(&media, kept[3].0).await.unwrap(), content(4057));
}

#[tokio::test]
async fn every_part_of_a_blob_can_be_had() {
    let place = Place::new();
    let media = place.start().await;
    let whole = content(2 * PLAIN + 5);
    let id = put(&media, &whole).await.unwrap();
    let edges = [0, 1, PLAIN - 1, PLAIN, PLAIN + 1, 2 * PLAIN, 2 * PLAIN + 4, 2 * PLAIN + 5];
    for (start, end) in
        edges.iter().flat_map(|start| edges.map(|end| (*start, end))).filter(|(start, end)| start <= end)
    {
        let blob = media.open(id).await.unwrap();
        let part = blob.into_part(start as u64..end as u64).collect().await.unwrap().to_bytes();
        assert!(part == whole[start..end], "{start}..{end}");
    }
}

async fn fill(media: &Arc<Media>, claim: Claim, bytes: &[u8]) -> Result<MediaId, Error> {
    let mut upload = media.upload(uploader(), Some(claim), bytes.len() as u64).await?;
    upload.push(bytes).await?;
    upload.finish(info()).await
}

#[tokio::test]
async fn an_id_can_come_before_its_content() {
    let place = Place::new();
    let media = place.start().await;
    let other = user_id!("@bo:localhost");
    let (id, until) = media.create(uploader()).unwrap();
    assert!(until == place.clock.now().after(Duration::from_hours(24)));
    assert_eq!(media.arrived(id, Duration::ZERO).await, Err(Error::NotYetUploaded));
    assert!(matches!(media.open(id).await, Err(Error::NotFound)));
    assert!(matches!(media.claim(other, id).await, Err(Error::NotYours)));
    let claim = media.claim(uploader(), id).await.unwrap();
    assert!(matches!(media.claim(uploader(), id).await, Err(Error::Overwrites)));
    drop(claim);

    let waiting = tokio::spawn({
        let media = Arc::clone(&media);
        async move { media.arrived(id, Duration::from_mins(1)).await }
    });
    tokio::task::yield_now().await;
    let claim = media.claim(uploader(), id).await.unwrap();
    assert!(fill(&media, claim, b"content").await.unwrap() == id);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert_eq!(get(&media, id).await.unwrap(), b"content");
    assert_eq!(media.arrived(id, Duration::ZERO).await, Ok(()));
    for anybody in [uploader(), other] {
        assert!(matches!(media.claim(anybody, id).await, Err(Error::Overwrites)));
    }
    assert!(matches!(media.claim(uploader(), MediaId([7; 16])).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn ids_do_not_wait_for_ever_nor_without_number() {
    let place = Place::new();
    let media = place.start().await;
    let (id, _) = media.create(uploader()).unwrap();
    let (late, _) = media.create(uploader()).unwrap();
    for _ in 2..100 {
        media.create(uploader()).unwrap();
    }
    assert_eq!(media.create(uploader()).err(), Some(Error::TooManyPending));
    media.create(user_id!("@bo:localhost")).unwrap();
    // One whose content is on its way does not end meanwhile.
    let claim = media.claim(uploader(), late).await.unwrap();
    place.clock.advance(Duration::from_hours(24));
    assert_eq!(media.arrived(id, Duration::ZERO).await, Ok(()));
    assert!(matches!(media.claim(uploader(), id).await, Err(Error::NotFound)));
    media.create(uploader()).unwrap();
    assert_eq!(media.arrived(late, Duration::ZERO).await, Err(Error::NotYetUploaded));
    fill(&media, claim, b"late").await.unwrap();
    assert_eq!(get(&media, late).await.unwrap(), b"late");
}

#[tokio::test]
async fn nothing_of_a_blob_lies_in_the_open() {
    let place = Place::new();
    let media = place.start().await;
    let id = put(&media, &b"canary ".repeat(5000)).await.unwrap();
    let bytes = place.bytes();
    for needle in [&b"canary"[..], b"text/x", id.text().as_bytes(), &id.0] {
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }
    assert_eq!(bytes.len(), 48 << 10);
}

#[tokio::test]
async fn an_upload_keeps_to_what_it_announced() {
    let place = Place::new();
    let media = place.start().await;
    assert!(matches!(media.upload(uploader(), None, (1 << 20) + 1).await, Err(Error::TooLarge)));
    let mut upload = media.upload(uploader(), None, 10).await.unwrap();
    assert_eq!(upload.push(&[0; 11]).await, Err(Error::TooLarge));
    let mut upload = media.upload(uploader(), None, 10).await.unwrap();
    upload.push(&[0; 9]).await.unwrap();
    let id = upload.id;
    assert!(matches!(upload.finish(info()).await, Err(Error::Incomplete)));
    assert!(matches!(media.open(id).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn an_account_has_a_quota_that_comes_back_with_time() {
    let place = Place::new();
    let media = place.start().await;
    let whole = content(1 << 20);
    put(&media, &whole).await.unwrap();
    assert!(matches!(put(&media, &whole).await, Err(Error::Quota)));
    assert!(media.upload(user_id!("@bo:localhost"), None, 1 << 20).await.is_ok());
    place.age(&media).await;
    media.drop_dead().await.unwrap();
    put(&media, &whole).await.unwrap();
}

#[tokio::test]
async fn media_dies_with_its_epoch() {
    let place = Place::new();
    let media = place.start().await;
    let id = put(&media, &picture(ImageFormat::Png, 40, 20)).await.unwrap();
    let wanted = Wanted { width: 10, height: 10, crop: false };
    media.thumbnail(id, wanted).await.unwrap();
    place.age(&media).await;
    assert!(matches!(media.open(id).await, Err(Error::NotFound)));
    assert!(matches!(media.thumbnail(id, wanted).await, Err(Error::NotFound)));
    assert!(!place.bytes().is_empty());
    media.drop_dead().await.unwrap();
    assert!(place.bytes().is_empty());
    media.drop_dead().await.unwrap();
}

#[tokio::test]
async fn a_damaged_blob_is_not_served() {
    let place = Place::new();
    let media = place.start().await;
    let id = put(&media, b"whole").await.unwrap();
    let directory = fs::read_dir(place.directory.path().join("media")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(directory.join("0")).unwrap();
    bytes[30] ^= 1;
    fs::write(directory.join("0"), bytes).unwrap();
    assert!(matches!(media.open(id).await, Err(Error::Segment)));
    fs::remove_file(directory.join("0")).unwrap();
    assert!(matches!(media.open(id).await, Err(Error::Segment)));
}

#[test]
fn ids_have_one_spelling() {
    let id = MediaId([0xff; 16]);
    assert!(MediaId::parse(&id.text()) == Some(id));
    for odd in ["", "_", "____________________w=", "_____________________x", "../../../../etc/passwd"] {
        assert!(MediaId::parse(odd).is_none(), "{odd}");
    }
}

#[test]
fn overlong_texts_are_cut() {
    let info = Info::new(Some("x".repeat(256)), Some("ä".repeat(200)));
    assert!(info.content_type.is_none());
    assert_eq!(info.filename.unwrap().len(), 254);
}

/// A picture whose left half is red and whose right half is blue.
fn picture(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let halves =
        ImageBuffer::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255_u8]) });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(halves).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn near(pixel: Rgba<u8>, wanted: [u8; 3]) -> bool {
    pixel.0.iter().zip(wanted).all(|(has, wants)| has.abs_diff(wants) < 40)
}

#[tokio::test]
async fn thumbnails_are_made_of_every_format_and_in_every_way() {
    let place = Place::new();
    let media = place.start().await;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let id = put(&media, &picture(format, 400, 200)).await.unwrap();
        for (width, height, crop, expected) in [
            (96, 96, false, (96, 48)),
            (96, 96, true, (96, 96)),
            (800, 600, false, (400, 200)),
            (800, 600, true, (266, 200)),
            (1, 4_000_000_000, true, (1, 200)),
        ] {
            let thumbnail = media.thumbnail(id, Wanted { width, height, crop }).await.unwrap();
            let shown = image::load_from_memory(&thumbnail.bytes).unwrap();
            assert_eq!((shown.width(), shown.height()), expected, "{format:?} {width}×{height} {crop}");
            assert_eq!(thumbnail.content_type, "image/jpeg");
            if shown.width() > 50 {
                let middle = shown.height() / 2;
                let shown = shown.to_rgba8();
                assert!(near(*shown.get_pixel(5, middle), [255, 0, 0]), "{format:?}");
                assert!(near(*shown.get_pixel(shown.width() - 5, middle), [0, 0, 255]), "{format:?}");
            }
        }
        let again = media.thumbnail(id, Wanted { width: 96, height: 96, crop: true }).await.unwrap();
        let same = media.thumbnail(id, Wanted { width: 96, height: 96, crop: true }).await.unwrap();
        assert!(Arc::ptr_eq(&again, &same), "the second comes from the cache");
    }
}

#[tokio::test]
async fn what_shows_through_stays_so() {
    let place = Place::new();
    let media = place.start().await;
    let clear = ImageBuffer::from_pixel(64, 64, Rgba([10_u8, 20, 30, 0]));
    let mut bytes = Cursor::new(Vec::new());
    clear.write_to(&mut bytes, ImageFormat::Png).unwrap();
    let id = put(&media, &bytes.into_inner()).await.unwrap();
    let thumbnail = media.thumbnail(id, Wanted { width: 32, height: 32, crop: false }).await.unwrap();
    assert_eq!(thumbnail.content_type, "image/png");
    assert_eq!(image::load_from_memory(&thumbnail.bytes).unwrap().to_rgba8().get_pixel(3, 3).0[3], 0);
}

/// A JPEG with an EXIF block that says: turn right by a quarter, taken by a canary.
fn photo() -> Vec<u8> {
    let plain = picture(ImageFormat::Jpeg, 400, 200);
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    exif.extend_from_slice(b"canary");
    let mut photo = plain[..2].to_vec();
    photo.extend_from_slice(&[0xff, 0xe1]);
    photo.extend_from_slice(&u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    photo.extend_from_slice(&exif);
    photo.extend_from_slice(&plain[2..]);
    photo
}

#[tokio::test]
async fn photos_are_turned_and_stripped() {
    let place = Place::new();
    let media = place.start().await;
    let id = put(&media, &photo()).await.unwrap();
    let thumbnail = media.thumbnail(id, Wanted { width: 100, height: 100, crop: false }).await.unwrap();
    let shown = image::load_from_memory(&thumbnail.bytes).unwrap();
    assert_eq!((shown.width(), shown.height()), (50, 100));
    assert!(near(*shown.to_rgba8().get_pixel(25, 5), [255, 0, 0]));
    let small = media.thumbnail(id, Wanted { width: 800, height: 800, crop: false }).await.unwrap();
    for thumbnail in [thumbnail, small] {
        assert!(!thumbnail.bytes.windows(6).any(|window| window == b"canary"));
        assert!(!thumbnail.bytes.windows(4).any(|window| window == b"Exif"));
    }
}

/// A PNG of a few bytes that says it has `side` × `side` pixels.
fn bomb(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&side.to_be_bytes());
    header.extend_from_slice(&side.to_be_bytes());
    header.extend_from_slice(&[8, 6, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&crc(&header).to_be_bytes());
    bytes.extend_from_slice(b"\0\0\0\0IDAT");
    bytes.extend_from_slice(&crc(b"IDAT").to_be_bytes());
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[tokio::test]
async fn bombs_and_other_things_are_refused() {
    let place = Place::new();
    let media = place.start().await;
    let wanted = Wanted { width: 32, height: 32, crop: false };
    let mut cut = picture(ImageFormat::Png, 400, 200);
    cut.truncate(cut.len() / 2);
    for (bytes, error) in [
        (bomb(30_000), Error::PictureTooLarge),
        (bomb(100), Error::NotAPicture),
        (b"just text".to_vec(), Error::NotAPicture),
        (b"BM".to_vec(), Error::NotAPicture),
        (Vec::new(), Error::NotAPicture),
        (cut, Error::NotAPicture),
    ] {
        let id = put(&media, &bytes).await.unwrap();
        assert_eq!(media.thumbnail(id, wanted).await.err(), Some(error));
    }
    assert!(matches!(media.thumbnail(MediaId([1; 16]), wanted).await, Err(Error::NotFound)));
}

#[test]
fn a_head_that_reaches_beyond_every_disk_is_refused() {
    let head =
        |length: u64, offset: u64| super::Head::read(format!(r#"{{"l":{length},"s":0,"o":{offset}}}"#).as_bytes());
    assert!(head(0, 0).is_ok() && head(1 << 48, 1 << 48).is_ok());
    for (length, offset) in [((1 << 48) + 1, 0), (u64::MAX, 0), (0, u64::MAX)] {
        assert!(head(length, offset).is_err(), "{length} {offset}");
    }
    assert!(super::Head::read(b"{}").is_err());
}
