//! An encrypted picture with its thumbnail.

use matrix_sdk::{
    attachment::{AttachmentInfo, BaseImageInfo, Thumbnail},
    media::{MediaFormat, MediaRequestParameters},
    ruma::{
        events::room::{MediaSource, message::MessageType},
        uint,
    },
};
use matrix_sdk_ui::timeline::{AttachmentConfig, AttachmentSource};

use super::Cast;
use crate::{
    check::{Report, Result, expect, until},
    device::{Device, find},
};

/// Tells the chapter; steps that fail do not stop it.
pub async fn tell(report: &mut Report, cast: &Cast) {
    let Ok(bob) = cast.bob.here() else { return };
    report.step("an encrypted picture with its thumbnail", picture(&cast.alice, bob)).await;
}

async fn picture(alice: &Device, bob: &Device) -> Result<()> {
    let (large, small) = (pattern(90_000), pattern(3_000));
    let info = BaseImageInfo { width: Some(uint!(300)), height: Some(uint!(300)), ..BaseImageInfo::default() };
    let config = AttachmentConfig {
        info: Some(AttachmentInfo::Image(info)),
        thumbnail: Some(Thumbnail {
            data: small.clone(),
            content_type: mime::IMAGE_PNG,
            width: uint!(60),
            height: uint!(60),
            size: uint!(3000),
        }),
        ..AttachmentConfig::default()
    };
    let source = AttachmentSource::Data { bytes: large.clone(), filename: "pattern.png".to_owned() };
    alice.timeline()?.send_attachment(source, mime::IMAGE_PNG, config).use_send_queue().await?;
    let timeline = bob.timeline()?;
    let image = until("bert has the picture", async || {
        let item = find(timeline, |item| {
            let message = item.content().as_message();
            message.is_some_and(|message| matches!(message.msgtype(), MessageType::Image(_)))
        })
        .await?;
        match item.content().as_message()?.msgtype() {
            MessageType::Image(image) => Some(image.clone()),
            _ => None,
        }
    })
    .await?;
    let thumbnail = image.info.as_ref().and_then(|info| info.thumbnail_source.clone());
    let thumbnail = thumbnail.ok_or("the picture has no thumbnail")?;
    expect("encrypted files", [&image.source, &thumbnail].iter().all(|one| matches!(one, MediaSource::Encrypted(_))))?;
    expect("the picture byte for byte", fetch(bob, image.source).await? == large)?;
    expect("the thumbnail byte for byte", fetch(bob, thumbnail).await? == small)
}

async fn fetch(device: &Device, source: MediaSource) -> Result<Vec<u8>> {
    let request = MediaRequestParameters { source, format: MediaFormat::File };
    Ok(device.client.media().get_media_content(&request, false).await?)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * at % 251).expect("less than 251")).collect()
}
