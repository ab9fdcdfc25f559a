//! Event contents as an ordinary encrypted message has them.

use std::{sync::OnceLock, time::Instant};

use rand::Rng;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// When the run began: contents carry the nanoseconds since then.
static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the run began.
pub(crate) fn now() -> u128 {
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos()
}

/// Makes contents for one sender.
pub(crate) struct Writer {
    noise: Vec<u8>,
    session: String,
    device: String,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let mut noise = vec![0; 8192];
        rand::rng().fill_bytes(&mut noise);
        for byte in &mut noise {
            *byte = ALPHABET[usize::from(*byte & 63)];
        }
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&noise[range]).into_owned();
        let (session, device) = (text(0..43), text(50..60));
        Self { noise, session, device }
    }

    /// A content of the size a short encrypted message has, which says when it was written.
    pub(crate) fn content(&self) -> String {
        let start = rand::random_range(0..self.noise.len() - 400);
        let ciphertext = String::from_utf8_lossy(&self.noise[start..start + 400]);
        format!(
            r#"{{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"AwgA{ciphertext}","device_id":"{}","sender_key":"{}","session_id":"{}","sent":{}}}"#,
            self.device,
            self.session,
            self.session,
            now()
        )
    }
}

/// Calls `each` with when every event in `answer` was written.
pub(crate) fn written(answer: &[u8], mut each: impl FnMut(u128)) {
    let mut rest = answer;
    while let Some(at) = crate::http::find(rest, br#""sent":"#) {
        rest = &rest[at + 7..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let Some(nanos) = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok()) {
            each(nanos);
        }
    }
}
