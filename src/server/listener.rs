//! Sockets to accept on, and what they yield: one stream type, whether plain, TLS or Unix.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Error, tls};
use crate::config;

/// How long a TLS handshake may take: a bad line needs three round trips.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A socket that accepts connections.
pub(super) enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

/// A connection that was accepted and whose handshake, if any, is still to come.
pub(super) enum Incoming {
    Tcp(TcpStream, Option<TlsAcceptor>),
    Unix(UnixStream),
}

/// A connection to serve.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Listener {
    /// Every listener of the configuration.
    pub(super) async fn bind_all(server: &config::Server) -> Result<Vec<Self>, Error> {
        let tls = match (&server.tls_certificate, &server.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
            _ => None,
        };
        let mut listeners = Vec::new();
        let plain = if server.listen_tls.is_empty() { tls.clone() } else { None };
        let usual = server.listen.iter().map(|address| (address, &plain));
        for (address, tls) in usual.chain(server.listen_tls.iter().map(|address| (address, &tls))) {
            let socket = TcpListener::bind(address).await.map_err(|_| Error::Listen)?;
            listeners.push(Self::Tcp(socket, tls.clone()));
        }
        if let Some(path) = &server.unix_socket {
            listeners.push(Self::Unix(bind_unix(path)?));
        }
        Ok(listeners)
    }

    /// The TCP address, with the port the system chose.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket, _) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection, and its peer's address where it has one.
    pub(super) async fn accept(&self) -> io::Result<(Incoming, Option<IpAddr>)> {
        match self {
            Self::Tcp(socket, tls) => {
                let (stream, peer) = socket.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Incoming::Tcp(stream, tls.clone()), Some(peer.ip())))
            }
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| (Incoming::Unix(stream), None)),
        }
    }
}

impl Incoming {
    /// Completes the handshake.
    pub(super) async fn establish(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream, None) => Ok(Stream::Tcp(stream)),
            Self::Tcp(stream, Some(tls)) => {
                let handshake = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await;
                handshake.map_err(|_| io::ErrorKind::TimedOut)?.map(|stream| Stream::Tls(Box::new(stream)))
            }
            Self::Unix(stream) => Ok(Stream::Unix(stream)),
        }
    }
}

impl Stream {
    /// Whether the peer chose HTTP/2 in the handshake; without TLS it is HTTP/1.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2))
    }
}

/// Makes a Unix socket, replacing one that a former process left behind.
fn bind_unix(path: &Path) -> Result<UnixListener, Error> {
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
    UnixListener::bind(path).map_err(|_| Error::Socket)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
