//! Requests to machines elsewhere: pages to preview, push gateways. Nobody is contacted unasked.
//!
//! Owns how a connection comes about. A name is resolved once, its addresses are checked, and the connection goes to an
//! address that was checked: a name that leads elsewhere a moment later gains nothing. The same holds for every redirect.
//! Sends no cookie, no credentials and no name of this software; never logs where it goes or why it failed.

mod addresses;
mod connect;
#[cfg(test)]
mod tests;
mod tls;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    client::conn::http1::Builder,
    header::{HOST, HeaderValue, LOCATION},
};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use url::Url;

pub use self::tls::{Tls, Unreadable};

/// The largest head of an answer, bytes; those of real servers stay below 16 KiB.
const MAX_HEAD: usize = 64 << 10;
/// The most header fields of an answer.
const MAX_FIELDS: usize = 100;

/// Why a request has no answer. Says nothing about where it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not an address of HTTP or HTTPS, or one with credentials.
    #[error("not a web address")]
    Address,
    /// The name leads to addresses that must not be contacted, and to no other.
    #[error("the address must not be contacted")]
    Forbidden,
    /// There is no such name, nobody listens, or the certificate is not to be trusted.
    #[error("nobody can be reached there")]
    Unreachable,
    /// The other side breaks the protocol.
    #[error("the answer is malformed")]
    Malformed,
    /// The time is over.
    #[error("the answer takes too long")]
    TooSlow,
    /// Redirected more often than the bounds allow.
    #[error("too many redirects")]
    TooManyRedirects,
}

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the start to the end of the body.
    pub time: Duration,
    /// How many redirects are followed.
    pub redirects: u8,
}

/// Sends requests.
#[derive(Clone)]
pub struct Client {
    tls: Tls,
    allowed: Arc<[IpNet]>,
}

impl Client {
    /// A client that contacts public addresses and those in `allowed`.
    #[must_use]
    pub fn new(tls: Tls, allowed: impl IntoIterator<Item = IpNet>) -> Self {
        Self { tls, allowed: allowed.into_iter().collect() }
    }

    /// `GET url`, following redirects.
    ///
    /// # Errors
    /// Any of [`Error`]; an answer with another status than 200 is none.
    pub async fn get(&self, mut url: Url, headers: &HeaderMap, bounds: Bounds) -> Result<Answer, Error> {
        let deadline = Instant::now() + bounds.time;
        for _ in 0..=bounds.redirects {
            let answer = self.send(Method::GET, &url, headers.clone(), Bytes::new(), deadline).await?;
            let Some(next) = answer.redirect(&url)? else { return Ok(answer) };
            url = next;
        }
        Err(Error::TooManyRedirects)
    }

    /// `POST url`; a redirect is an answer like any other, because a body goes only where it was sent.
    ///
    /// # Errors
    /// Any of [`Error`] but [`Error::TooManyRedirects`].
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, time: Duration) -> Result<Answer, Error> {
        self.send(Method::POST, url, headers, body, Instant::now() + time).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let exchange = async {
            let stream = connect::connect(url, &self.tls, &self.allowed).await?;
            let mut connection = Builder::new();
            connection.max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS);
            let (mut sender, driver) =
                connection.handshake(TokioIo::new(stream)).await.map_err(|_| Error::Unreachable)?;
            let mut tasks = JoinSet::new();
            tasks.spawn(async move { drop(driver.await) });
            headers.insert(HOST, host(url)?);
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = method;
            *request.uri_mut() = target(url)?;
            *request.headers_mut() = headers;
            let response = sender.send_request(request).await.map_err(|_| Error::Malformed)?;
            Ok(Answer { url: url.clone(), response, deadline, _connection: tasks })
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(Error::TooSlow))
    }
}

/// An answer whose body has not been read.
pub struct Answer {
    url: Url,
    response: Response<Incoming>,
    deadline: Instant,
    /// What moves the bytes; it ends with the answer.
    _connection: JoinSet<()>,
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Where it came from, after all redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The first `most` bytes of the body, and whether that is all of it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooSlow`].
    pub async fn read(self, most: usize) -> Result<(Bytes, bool), Error> {
        let Self { response, deadline, _connection, .. } = self;
        let mut body = response.into_body();
        let mut whole = BytesMut::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let Ok(piece) = frame.map_err(|_| Error::Malformed)?.into_data() else { continue };
                let room = most - whole.len();
                if piece.len() > room {
                    whole.extend_from_slice(&piece[..room]);
                    return Ok(false);
                }
                whole.extend_from_slice(&piece);
            }
            Ok(true)
        };
        let complete = timeout_at(deadline, reading).await.unwrap_or(Err(Error::TooSlow))?;
        Ok((whole.freeze(), complete))
    }

    /// Where this answer sends its reader, if it does.
    fn redirect(&self, from: &Url) -> Result<Option<Url>, Error> {
        let Some(location) = self.headers().get(LOCATION).filter(|_| matches!(self.status(), 301..=303 | 307 | 308))
        else {
            return Ok(None);
        };
        follow(from, location.as_bytes()).map(Some)
    }
}

/// Where a redirect from `from` with this `Location` leads.
fn follow(from: &Url, location: &[u8]) -> Result<Url, Error> {
    let location = std::str::from_utf8(location).map_err(|_| Error::Malformed)?;
    from.join(location).map_err(|_| Error::Malformed)
}

/// The `Host` of a request to `url`: with the port where it is not the scheme's own.
fn host(url: &Url) -> Result<HeaderValue, Error> {
    let host = url.host_str().ok_or(Error::Address)?;
    let value = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(value).map_err(|_| Error::Address)
}

/// The target of a request to `url`: its path and query.
fn target(url: &Url) -> Result<hyper::Uri, Error> {
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    format!("{}{query}", url.path()).parse().map_err(|_| Error::Address)
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use std::net::IpAddr;

    use url::{Host, Url};

    use super::{addresses::may_contact, connect::destination, follow, host, target};

    /// Where an answer leads that sends its reader to `location`, if that is a place for a request; and the address, where
    /// it is named by one, and whether it is contacted.
    pub(crate) fn step(from: &Url, location: &[u8]) -> Option<(Url, Option<(IpAddr, bool)>)> {
        let to = follow(from, location).ok()?;
        let address = match destination(&to).ok()?.0 {
            Host::Domain(name) => {
                assert!(name.parse::<IpAddr>().is_err(), "an address is resolved as a name");
                None
            }
            Host::Ipv4(address) => Some(IpAddr::from(address)),
            Host::Ipv6(address) => Some(address.into()),
        };
        host(&to).ok()?;
        target(&to).ok()?;
        Some((to, address.map(|address| (address, may_contact(address, &[])))))
    }
}
