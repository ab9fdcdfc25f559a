//! Requests to servers of one connection at a time on loopback.

use std::{net::SocketAddr, path::Path};

use hyper::header::{ACCEPT, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const BOUNDS: Bounds = Bounds { time: Duration::from_secs(20), redirects: 3 };

fn client(allowed: &[&str]) -> Client {
    Client::new(Tls::trusting(None).unwrap(), allowed.iter().map(|text| text.parse().unwrap()))
}

/// Listens on `address` and gives each connection one of `answers`; yields the heads of the requests.
async fn serve(address: &str, answers: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            heads.push(String::from_utf8(head).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    (at, task)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

async fn get(client: &Client, text: &str) -> Result<Bytes, Error> {
    let answer = client.get(url(text), &HeaderMap::new(), BOUNDS).await?;
    Ok(answer.read(1000).await?.0)
}

#[tokio::test]
async fn a_request_says_what_it_must_and_no_more() {
    let (at, heads) = serve("127.0.0.1", vec![ok("hello")]).await;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
    let asked = url(&format!("http://127.0.0.1:{}/a%20path?q=%C3%A4#fragment", at.port()));
    let answer = client(&["127.0.0.1/32"]).get(asked.clone(), &headers, BOUNDS).await.unwrap();
    assert_eq!((answer.status(), answer.url()), (200, &asked));
    assert_eq!(answer.read(1000).await.unwrap(), (Bytes::from("hello"), true));
    let head = heads.await.unwrap().concat();
    let expected = format!("GET /a%20path?q=%C3%A4 HTTP/1.1\r\naccept: text/html\r\nhost: {at}\r\n\r\n");
    assert_eq!(head, expected);
}

#[tokio::test]
async fn what_is_not_allowed_is_not_contacted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = client(&[]);
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0"] {
        let refused = get(&client, &format!("http://{host}:{port}/")).await;
        assert_eq!(refused, Err(Error::Forbidden), "{host}");
    }
    for odd in ["file:///etc/passwd", "ftp://1.1.1.1/", "gopher://1.1.1.1:70/", "http://user:word@1.1.1.1/", "data:,x"]
    {
        assert_eq!(get(&client, odd).await, Err(Error::Address), "{odd}");
    }
    // Had one of them connected, it would be waiting here.
    assert!(listener.accept().is_err());
}

#[tokio::test]
async fn redirects_are_followed_and_checked_one_by_one() {
    let (end, _end) = serve("127.0.0.1", vec![ok("there")]).await;
    let (start, _start) = serve("127.0.0.1", vec![to("/next"), to(&format!("http://{end}/"))]).await;
    let client = client(&["127.0.0.1/32"]);
    assert_eq!(get(&client, &format!("http://{start}/")).await.unwrap(), "there");

    let (hidden, _hidden) = serve("127.0.0.2", vec![ok("secret")]).await;
    for (location, error) in [
        (format!("http://{hidden}/"), Error::Forbidden),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), Error::Forbidden),
        ("file:///etc/passwd".to_owned(), Error::Address),
        ("http://[broken".to_owned(), Error::Malformed),
    ] {
        let (start, _start) = serve("127.0.0.1", vec![to(&location)]).await;
        assert_eq!(get(&client, &format!("http://{start}/")).await, Err(error), "{location}");
    }
}

#[tokio::test]
async fn redirects_end() {
    let (at, _server) = serve("127.0.0.1", vec![to("/again"); 4]).await;
    assert_eq!(get(&client(&["127.0.0.1/32"]), &format!("http://{at}/")).await, Err(Error::TooManyRedirects));
}

#[tokio::test]
async fn bodies_are_cut() {
    let (at, _server) = serve("127.0.0.1", vec![ok(&"x".repeat(5000)), ok(&"x".repeat(1000))]).await;
    let client = client(&["127.0.0.1/32"]);
    for complete in [false, true] {
        let answer = client.get(url(&format!("http://{at}/")), &HeaderMap::new(), BOUNDS).await.unwrap();
        let (body, whole) = answer.read(1000).await.unwrap();
        assert_eq!((body.len(), whole), (1000, complete));
    }
}

#[tokio::test]
async fn whoever_never_ends_is_left() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&["127.0.0.1/32"]);
    let bounds = Bounds { time: Duration::from_millis(30), redirects: 0 };
    let to = url(&format!("http://{}/", silent.local_addr().unwrap()));
    assert_eq!(client.get(to, &HeaderMap::new(), bounds).await.err(), Some(Error::TooSlow));

    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned();
    let (at, server) = serve("127.0.0.1", vec![half.clone()]).await;
    assert_eq!(get(&client, &format!("http://{at}/")).await, Err(Error::Malformed));
    drop(server);
    for broken in ["SSH-2.0-OpenSSH_9\r\n".to_owned(), format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200))] {
        let (at, _server) = serve("127.0.0.1", vec![broken]).await;
        assert_eq!(get(&client, &format!("http://{at}/")).await, Err(Error::Malformed));
    }
}

#[tokio::test]
async fn a_body_is_posted_where_it_was_meant_to_go() {
    let (at, heads) = serve("127.0.0.1", vec![to("http://127.0.0.2/")]).await;
    let client = client(&["127.0.0.1/32"]);
    let body = Bytes::from("{}");
    let to = url(&format!("http://{at}/_matrix/push/v1/notify"));
    let answer = client.post(&to, HeaderMap::new(), body, BOUNDS.time).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert!(heads.await.unwrap().concat().contains("content-length: 2\r\n"));
}

/// What made the certificates: `openssl req -x509`, a hundred years long.
fn certificates() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls"))
}

#[tokio::test]
async fn certificates_are_checked() {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = vec![CertificateDer::from_pem_file(certificates().join("localhost.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates().join("localhost.key")).unwrap();
    let ring = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(ring);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1000]).await;
            let _ = stream.write_all(ok("sealed").as_bytes()).await;
        }
    });
    let trusting = Tls::trusting(Some(&certificates().join("ca.pem"))).unwrap();
    let trusting = Client::new(trusting, ["127.0.0.1/32".parse().unwrap()]);
    assert_eq!(get(&trusting, &format!("https://localhost:{port}/")).await.unwrap(), "sealed");
    // Another name, and another authority.
    assert_eq!(get(&trusting, &format!("https://127.0.0.1:{port}/")).await, Err(Error::Unreachable));
    let others = client(&["127.0.0.1/32"]);
    assert_eq!(get(&others, &format!("https://localhost:{port}/")).await, Err(Error::Unreachable));
}

#[test]
fn a_file_of_authorities_must_hold_some() {
    assert!(Tls::trusting(Some(&certificates().join("localhost.key"))).is_err());
    assert!(Tls::trusting(Some(Path::new("/nonexistent"))).is_err());
}
