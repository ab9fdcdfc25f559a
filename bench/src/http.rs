//! HTTP just enough to stay out of the server's way on a small machine: one connection, one request at a time.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body of an answer that must be 200.
    pub(crate) fn ok(self, what: &str) -> Value {
        self.check(what);
        self.json()
    }

    /// Ends the run unless the answer is 200.
    pub(crate) fn check(&self, what: &str) {
        assert!(self.status == 200, "{what}: {} {}", self.status, String::from_utf8_lossy(&self.body));
    }
}

/// A connection that stays open; made on first use.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    token: String,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, stream: None, buffer: Vec::with_capacity(64 << 10), token: token.to_owned() }
    }

    /// Sends a request and reads its answer. Connects again when the server has hung up since the last one.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if !self.token.is_empty() {
            request += &format!("Authorization: Bearer {}\r\n", self.token);
        }
        request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for _ in 0..2 {
            if self.stream.is_none() {
                let stream = TcpStream::connect(self.address).await.expect("the server accepts");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                self.stream = Some(stream);
            }
            if let Some(answer) = self.exchange(request.as_bytes()).await {
                return answer;
            }
            self.stream = None;
        }
        panic!("{method}: the server hung up");
    }

    async fn exchange(&mut self, request: &[u8]) -> Option<Answer> {
        let stream = self.stream.as_mut()?;
        stream.write_all(request).await.ok()?;
        self.buffer.clear();
        let start = loop {
            let seen = self.buffer.len().saturating_sub(3);
            if stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
            if let Some(at) = find(&self.buffer[seen..], b"\r\n\r\n") {
                break seen + at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..start]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let body = match length {
            Some(length) => {
                while self.buffer.len() < start + length {
                    if stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                        return None;
                    }
                }
                self.buffer[start..start + length].to_vec()
            }
            None => self.chunks(start).await?,
        };
        if head.contains("\r\nconnection: close") {
            self.stream = None;
        }
        Some(Answer { status, body })
    }

    async fn chunks(&mut self, mut at: usize) -> Option<Vec<u8>> {
        let stream = self.stream.as_mut()?;
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(line) = find(&self.buffer[at..], b"\r\n") {
                    break line;
                }
                if stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                    return None;
                }
            };
            let size = std::str::from_utf8(&self.buffer[at..at + line]).ok()?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            at += line + 2;
            while self.buffer.len() < at + size + 2 {
                if stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                    return None;
                }
            }
            body.extend_from_slice(&self.buffer[at..at + size]);
            at += size + 2;
            if size == 0 {
                return Some(body);
            }
        }
    }
}

/// Where `needle` begins.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Percent-encodes everything but letters, digits and a few marks.
pub(crate) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
