//! HTTP/2 from peers that break its rules or stretch them: frames written by hand.

use std::{path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

use crate::server::TestServer;

const SETTINGS: u8 = 4;
const RST_STREAM: u8 = 3;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET https:// /` by the static table, and an authority.
const GET: &[u8] = b"\x82\x87\x84\x41\x09localhost";

/// A connection that speaks HTTP/2.
struct Peer(TlsStream<TcpStream>);

impl Peer {
    async fn connect(server: &TestServer) -> Self {
        let [_, address] = server.server().addresses() else { panic!("two listeners") };
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(tls_file("certificate.pem")).expect("a certificate");
        roots.add(certificate).expect("an anchor");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let plain = TcpStream::connect(address).await.expect("connected");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, plain).await.expect("a handshake");
        let mut peer = Self(stream);
        peer.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        assert!(peer.send(SETTINGS, 0, 0, b"").await);
        peer
    }

    /// Sends a frame; whether the server still listens.
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).await.is_ok() && self.0.flush().await.is_ok()
    }

    /// The next frame: its kind and payload.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], payload))
    }

    /// The settings the server begins with, and the error code with which it ends the connection.
    async fn settings(&mut self) -> Vec<(u16, u32)> {
        let (_, payload) = self.next().await.filter(|(kind, _)| *kind == SETTINGS).expect("settings");
        let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        payload
            .chunks_exact(6)
            .map(|one| (u16::try_from(number(&one[..2])).expect("an id"), number(&one[2..])))
            .collect()
    }

    async fn goes_away(&mut self) -> bool {
        while let Some((kind, _)) = self.next().await {
            if kind == GOAWAY {
                return true;
            }
        }
        false
    }
}

fn tls_file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name).display().to_string()
}

async fn server() -> TestServer {
    let (certificate, key) = (tls_file("certificate.pem"), tls_file("key.pem"));
    let toml =
        format!("[server]\nlisten_tls = [\"127.0.0.1:0\"]\ntls_certificate = \"{certificate}\"\ntls_key = \"{key}\"");
    TestServer::with(&toml).await
}

#[tokio::test]
async fn streams_windows_and_heads_are_bounded() {
    let server = server().await;
    let settings = Peer::connect(&server).await.settings().await;
    let told = |id: u16| settings.iter().find(|(known, _)| *known == id).map(|(_, value)| *value);
    // Streams at once, the window of a stream, the list of header fields.
    assert_eq!((told(3), told(4), told(6)), (Some(64), Some(64 << 10), Some(64 << 10)), "{settings:?}");
}

#[tokio::test]
async fn a_peer_that_resets_rapidly_is_sent_away() {
    let server = server().await;
    let mut peer = Peer::connect(&server).await;
    for stream in (1..20_001).step_by(2) {
        let alive = peer.send(HEADERS, END_STREAM | END_HEADERS, stream, GET).await
            && peer.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
        if !alive {
            break;
        }
    }
    assert!(peer.goes_away().await);
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let server = server().await;
    let mut peer = Peer::connect(&server).await;
    assert!(peer.send(HEADERS, END_STREAM, 1, GET).await);
    // A literal field with a name of one letter and a value of sixteen thousand, again and again.
    let field = [&b"\x00\x01x\x7f\x81\x7c"[..], &[b'y'; 16_000]].concat();
    for _ in 0..1000 {
        if !peer.send(CONTINUATION, 0, 1, &field).await {
            break;
        }
    }
    assert!(peer.goes_away().await);
    assert_eq!(server.get("/health").await.status, 200);
}
