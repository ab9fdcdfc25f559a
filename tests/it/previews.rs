//! Previews of pages, which a web server on loopback serves.

use std::{
    collections::BTreeMap,
    io::Cursor,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use image::{ImageFormat, RgbImage};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::server::{Answer, Client, TestServer, encode};

const PREVIEW: &str = "/_matrix/client/v1/media/preview_url";
const ON: &str = "[url_previews]\nenabled = true\nallow = [\"127.0.0.1\"]\n";

/// A web server.
struct Web {
    address: SocketAddr,
    pages: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Web {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let web = Self { address, pages: Arc::default(), heads: Arc::default() };
        let (pages, heads) = (Arc::clone(&web.pages), Arc::clone(&web.heads));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&pages), Arc::clone(&heads)));
            }
        });
        web
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves `body` at `path`.
    fn page(&self, path: &str, content_type: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nSet-Cookie: a=b\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(path, [head.as_bytes(), body].concat());
    }

    fn raw(&self, path: &str, answer: Vec<u8>) {
        self.pages.lock().expect("no panic").insert(path.to_owned(), answer);
    }

    /// The heads of all requests so far.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

async fn answer(mut stream: TcpStream, pages: Arc<Mutex<BTreeMap<String, Vec<u8>>>>, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    heads.lock().expect("no panic").push(head);
    let found = pages.lock().expect("no panic").get(&path).cloned();
    let answer = found.unwrap_or_else(|| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec());
    let _ = stream.write_all(&answer).await;
}

async fn preview(who: &Client, url: &str) -> Answer {
    who.get(&format!("{PREVIEW}?url={}", encode(url))).await
}

fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::new(30, 10).write_to(&mut bytes, ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

#[tokio::test]
async fn a_page_is_shown_with_its_picture() {
    let server = TestServer::open_with(ON).await;
    let (al, bo, web) = (server.register("al").await, server.register("bo").await, Web::start().await);
    let page = "<head><meta property='og:title' content='The Rock'><meta property='og:image' content='pic.png'>\
                <meta property='og:url' content='http://elsewhere/'><meta property='og:image:width' content='9999'>";
    web.page("/film/page.html", "text/html; charset=utf-8", page.as_bytes());
    web.page("/film/pic.png", "image/png", &picture());
    let shown = preview(&al, &web.url("/film/page.html#part")).await.ok();
    let uri = shown["og:image"].as_str().expect("a picture").to_owned();
    assert_eq!(
        shown,
        json!({
            "og:title": "The Rock", "og:url": "http://elsewhere/", "og:image": uri, "og:image:type": "image/png",
            "og:image:width": 30, "og:image:height": 10, "matrix:image:size": picture().len(),
        })
    );
    let place = uri.strip_prefix("mxc://").expect("media");
    let kept = bo.get(&format!("/_matrix/client/v1/media/download/{place}")).await;
    assert_eq!((kept.body, kept.status), (picture(), 200));

    // The second is told what the first was, and the old path knows it too.
    let old = format!("/_matrix/media/v3/preview_url?ts=1&url={}", encode(&web.url("/film/page.html")));
    assert_eq!(bo.get(&old).await.ok(), shown);
    let heads = web.heads();
    assert_eq!(heads.len(), 2);
    for head in heads.iter().map(|head| head.to_lowercase()) {
        assert!(head.contains("accept-language: en\r\n") && head.contains("user-agent: mozilla/5.0 (compatible;"));
        for absent in ["cookie", "referer", "lethe", "localhost", "authorization", "origin"] {
            assert!(!head.contains(absent), "{head}");
        }
    }

    // A preview lives for an hour and its picture for a day.
    web.page("/film/page.html", "text/html", b"<title>changed");
    server.clock.advance(Duration::from_hours(1));
    assert_eq!(preview(&al, &web.url("/film/page.html")).await.ok(), json!({"og:title": "changed"}));
    server.clock.advance(Duration::from_hours(48));
    let engine = &server.server().services().engine;
    engine.journals.epochs.expire(engine.clock.now()).await.expect("expired");
    bo.get(&format!("/_matrix/client/v1/media/download/{place}")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn other_things_than_pages_are_shown_as_what_they_are() {
    let server = TestServer::open_with(ON).await;
    let (al, web) = (server.register("al").await, Web::start().await);
    web.page("/a.png", "image/png", &picture());
    assert_eq!(preview(&al, &web.url("/a.png")).await.ok()["og:image:width"], 30);
    web.page("/a.pdf", "application/pdf", b"%PDF");
    assert_eq!(preview(&al, &web.url("/a.pdf")).await.ok(), json!({}));
    web.page("/latin", "text/html; charset=iso-8859-1", b"<title>\xe4</title>");
    assert_eq!(preview(&al, &web.url("/latin")).await.ok(), json!({"og:title": "ä"}));
    // A picture that is none, is too large or must not be loaded is left out.
    web.page("/text.png", "image/png", b"no picture");
    web.page("/large.png", "image/png", &[&picture()[..], &vec![0; 6 << 20]].concat());
    for (path, image) in
        [("/1", "/text.png"), ("/2", "/large.png"), ("/3", "http://127.0.0.2/a.png"), ("/4", "file:///x")]
    {
        web.page(path, "text/html", format!("<title>t</title><meta property=og:image content={image}>").as_bytes());
        assert_eq!(preview(&al, &web.url(path)).await.ok(), json!({"og:title": "t"}), "{image}");
    }
    // Only the beginning of a long page is read.
    web.page(
        "/long",
        "text/html",
        &[&b"<title>long</title>"[..], &vec![b' '; 2 << 20], b"<meta name=description content=x>"].concat(),
    );
    assert_eq!(preview(&al, &web.url("/long")).await.ok(), json!({"og:title": "long"}));
}

#[tokio::test]
async fn what_cannot_be_loaded_and_what_must_not_be_look_the_same() {
    let server = TestServer::open_with(ON).await;
    let (al, web) = (server.register("al").await, Web::start().await);
    let to = |place: &str| format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    web.raw("/inside", to("http://127.0.0.2:1/"));
    web.raw("/metadata", to("http://169.254.169.254/latest/meta-data/"));
    web.raw("/loop", to("/loop"));
    web.raw("/broken", b"SSH-2.0\r\n".to_vec());
    let mut bodies = Vec::new();
    for url in [
        web.url("/missing"),
        web.url("/inside"),
        web.url("/metadata"),
        web.url("/loop"),
        web.url("/broken"),
        "http://127.0.0.2/".to_owned(),
        "http://[::1]:8008/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://user:word@127.0.0.1/".to_owned(),
        "http://no-such-host.invalid/".to_owned(),
    ] {
        let refused = preview(&al, &url).await;
        assert_eq!(refused.status, 502, "{url}");
        bodies.push(refused.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // A failure is remembered, for a minute.
    let before = web.heads().len();
    preview(&al, &web.url("/missing")).await.refused(502, "M_CONNECTION_FAILED");
    assert_eq!(web.heads().len(), before);
    server.clock.advance(Duration::from_mins(1));
    web.page("/missing", "text/html", b"<title>back");
    assert_eq!(preview(&al, &web.url("/missing")).await.ok(), json!({"og:title": "back"}));
}

#[tokio::test]
async fn previews_are_asked_for_with_a_token_and_an_address() {
    let server = TestServer::open_with(ON).await;
    let al = server.register("al").await;
    for odd in
        ["", "x", "/etc/passwd", "file:///etc/passwd", "ftp://example.org/", "javascript:x", "http://", "mxc://a/b"]
    {
        preview(&al, odd).await.refused(400, "M_INVALID_PARAM");
    }
    preview(&al, &format!("http://127.0.0.1/{}", "x".repeat(5000))).await.refused(400, "M_INVALID_PARAM");
    al.get(PREVIEW).await.refused(400, "M_MISSING_PARAM");
    server.get(&format!("{PREVIEW}?url=http://127.0.0.1/")).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn nothing_is_previewed_unless_the_operator_wants_it() {
    let server = TestServer::open().await;
    let (al, web) = (server.register("al").await, Web::start().await);
    preview(&al, &web.url("/")).await.refused(404, "M_UNRECOGNIZED");
    let server = TestServer::open_with("[url_previews]\nenabled = true\n").await;
    let al = server.register("al").await;
    preview(&al, &web.url("/")).await.refused(502, "M_CONNECTION_FAILED");
    assert!(web.heads().is_empty());
}
