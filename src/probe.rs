//! One HTTP exchange with a server that is examined: `lethe health` and `lethe doctor`.
//!
//! Owns a client that trusts nobody and says what it saw, certificates included; knows nothing of what a good answer
//! is.

pub mod certificate;

use std::{
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{HeaderMap, Request, Uri, header::HOST};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::{Body, Frame, SizeHint},
    client::conn::http1::handshake,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use self::certificate::{Examined, Roots};

/// How long connecting, and then answering, may take: what is slower is broken for people too.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer read; those that are asked for are some kilobytes.
const MAX_ANSWER: usize = 1 << 20;

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host and port, with or without TLS.
    Tcp {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// The place that an `http` or `https` URL names.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        Some(Self::Tcp { host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls })
    }
}

/// What a request carries.
pub enum Payload {
    /// These bytes.
    Whole(Bytes),
    /// A promise of so many bytes that are never sent: asks whether they would be taken.
    Withheld(u64),
}

/// What came back.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body, empty when it could not be read.
    pub body: Bytes,
    /// What the certificate is worth, when TLS was spoken.
    pub certificate: Option<Examined>,
}

impl Answer {
    /// The one value of a header; nothing when it is absent, not text, or there more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name has no address, or nobody listens there.
    #[error("it cannot be reached: the name has no address, or nothing listens there")]
    Unreachable,
    /// The TLS handshake failed for a reason other than the certificate's worth.
    #[error("the TLS handshake failed")]
    Handshake,
    /// It does not answer in time.
    #[error("it does not answer in time")]
    Silent,
    /// What came back is not HTTP.
    #[error("it does not answer in HTTP")]
    NotHttp,
}

/// Sends one request and reads its answer. The certificate is examined against `roots` and never refused.
pub async fn exchange(place: &Place, request: Request<Payload>, roots: &Roots) -> Result<Answer, Error> {
    let connected = tokio::time::timeout(PATIENCE, connect(place, roots)).await.map_err(|_| Error::Silent)?;
    let (stream, certificate) = connected?;
    let answered = tokio::time::timeout(PATIENCE, converse(stream, named(place, request))).await;
    let (status, headers, body) = answered.map_err(|_| Error::Silent)??;
    Ok(Answer { status, headers, body, certificate })
}

/// `request` with the `Host` header that belongs to `place`.
fn named(place: &Place, mut request: Request<Payload>) -> Request<Payload> {
    let host = match place {
        Place::Tcp { host, port, tls } if *port == if *tls { 443 } else { 80 } => host.clone(),
        Place::Tcp { host, port, .. } => format!("{host}:{port}"),
        Place::Unix(_) => "localhost".to_owned(),
    };
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(HOST, host);
    }
    request
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(place: &Place, roots: &Roots) -> Result<(Box<dyn Stream>, Option<Examined>), Error> {
    match place {
        Place::Unix(path) => Ok((Box::new(UnixStream::connect(path).await.map_err(|_| Error::Unreachable)?), None)),
        Place::Tcp { host, port, tls } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|_| Error::Unreachable)?;
            if !tls {
                return Ok((Box::new(stream), None));
            }
            let (stream, examined) = certificate::handshake(stream, host, roots).await.ok_or(Error::Handshake)?;
            Ok((Box::new(stream), Some(examined)))
        }
    }
}

async fn converse(stream: Box<dyn Stream>, request: Request<Payload>) -> Result<(u16, HeaderMap, Bytes), Error> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Error::NotHttp)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|_| Error::NotHttp)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map(http_body_util::Collected::to_bytes);
    driver.abort();
    Ok((head.status.as_u16(), head.headers, body.unwrap_or_default()))
}

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            // Never woken: the exchange ends with the answer or with its patience.
            Self::Withheld(_) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Withheld(length) => *length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_places() {
        let tcp = |host: &str, port, tls| Some(Place::Tcp { host: host.to_owned(), port, tls });
        assert_eq!(Place::of_url("https://m.example.org"), tcp("m.example.org", 443, true));
        assert_eq!(Place::of_url("http://[::1]:8008/x"), tcp("::1", 8008, false));
        for wrong in ["m.example.org", "ftp://m.example.org", "https://", ""] {
            assert_eq!(Place::of_url(wrong), None, "{wrong}");
        }
    }
}
