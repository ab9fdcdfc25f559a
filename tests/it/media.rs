//! Uploads, downloads and thumbnails over HTTP.

use std::{fs, io::Cursor, path::Path};

use image::{ImageFormat, RgbImage};
use serde_json::json;

use crate::server::{Answer, Client, TestServer};

const UPLOAD: &str = "/_matrix/media/v3/upload";
const DOWNLOAD: &str = "/_matrix/client/v1/media/download/localhost";
const THUMBNAIL: &str = "/_matrix/client/v1/media/thumbnail/localhost";

async fn upload(server: &TestServer, who: &Client, query: &str, content_type: &str, body: &[u8]) -> Answer {
    let token = format!("Bearer {}", who.token);
    let headers = [("Authorization", token.as_str()), ("Content-Type", content_type)];
    server.send("POST", &format!("{UPLOAD}{query}"), &headers, body).await
}

fn id(answer: Answer) -> String {
    let answer = answer.ok();
    let uri = answer["content_uri"].as_str().expect("a URI");
    uri.strip_prefix("mxc://localhost/").expect("of this server").to_owned()
}

fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::new(300, 100).write_to(&mut bytes, ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

#[tokio::test]
async fn what_is_uploaded_is_downloaded_also_after_a_restart() {
    let mut server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let content: Vec<u8> = (0..200_000_u32).map(|at| u8::try_from(at % 255).expect("small")).collect();
    let id = id(upload(&server, &al, "?filename=report.pdf", "application/pdf", &content).await);
    assert_eq!(id.len(), 22);
    for _ in 0..2 {
        let answer = bo.get(&format!("{DOWNLOAD}/{id}")).await;
        assert_eq!((answer.status, answer.body.len()), (200, content.len()));
        assert!(answer.body == content);
        assert_eq!(answer.header("content-length"), Some("200000"));
        assert_eq!(answer.header("content-type"), Some("application/pdf"));
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=report.pdf"));
        server.restart().await;
    }
}

#[tokio::test]
async fn downloads_cannot_do_harm() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let page = id(upload(&server, &al, "?filename=..%2F%22%0D%0Ax%E2%80%AEy.html", "text/html", b"<script>").await);
    let answer = al.get(&format!("{DOWNLOAD}/{page}")).await;
    for (name, value) in [
        ("content-type", "text/html"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, max-age=86400, immutable"),
        ("content-disposition", r#"attachment; filename="_\"xy.html""#),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("content-security-policy").expect("a policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(answer.header("last-modified"), None);
    let named = al.get(&format!("{DOWNLOAD}/{page}/f%C3%BCr%20dich.html")).await;
    let disposition = named.header("content-disposition").expect("a disposition");
    assert!(disposition.starts_with("attachment; filename*="), "{disposition}");
    for (content_type, expected) in [
        ("image/png", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("image/svg+xml", "attachment"),
        ("TEXT/PLAIN", "inline"),
    ] {
        let id = id(upload(&server, &al, "", content_type, b"x").await);
        let answer = al.get(&format!("{DOWNLOAD}/{id}")).await;
        assert_eq!(answer.header("content-disposition"), Some(expected), "{content_type}");
    }
}

#[tokio::test]
async fn media_is_for_those_with_a_token() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let id = id(upload(&server, &al, "", "image/png", &picture()).await);
    for path in [format!("{DOWNLOAD}/{id}"), format!("{THUMBNAIL}/{id}?width=1&height=1")] {
        server.get(&path).await.refused(401, "M_MISSING_TOKEN");
    }
    server.send("POST", UPLOAD, &[], b"x").await.refused(401, "M_MISSING_TOKEN");
    for kind in ["download", "thumbnail"] {
        let old = format!("/_matrix/media/v3/{kind}/localhost/{id}?width=1&height=1");
        al.get(&old).await.refused(404, "M_NOT_FOUND");
    }
    al.get(&format!("{DOWNLOAD}/{id}")).await.body.starts_with(b"\x89PNG").then_some(()).expect("it is there");
    for other in [format!("{DOWNLOAD}/nothing"), format!("{DOWNLOAD}/{}", "A".repeat(22)), {
        format!("/_matrix/client/v1/media/download/elsewhere.example/{id}")
    }] {
        al.get(&other).await.refused(404, "M_NOT_FOUND");
    }
    al.get("/_matrix/client/v1/media/preview_url?url=http://localhost").await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn uploads_have_a_limit() {
    let server = TestServer::open_with("[media]\nmax_upload = \"100KiB\"\nquota = \"1MiB\"\n").await;
    let al = server.register("al").await;
    for path in ["/_matrix/client/v1/media/config", "/_matrix/media/v3/config"] {
        assert_eq!(al.get(path).await.ok(), json!({"m.upload.size": 102_400}));
    }
    upload(&server, &al, "", "text/plain", &vec![0; 102_401]).await.refused(413, "M_TOO_LARGE");
    for _ in 0..8 {
        upload(&server, &al, "", "text/plain", &vec![0; 102_400]).await.ok();
    }
    upload(&server, &al, "", "text/plain", &vec![0; 102_400]).await.refused(403, "M_FORBIDDEN");
    upload(&server, &server.register("bo").await, "", "text/plain", b"").await.ok();
}

#[tokio::test]
async fn an_upload_without_a_length_is_taken_up_to_a_limit() {
    let server = TestServer::open_with("[media]\nmax_upload = \"100KiB\"\n").await;
    let al = server.register("al").await;
    let token = format!("Bearer {}", al.token);
    let headers = [("Authorization", token.as_str()), ("Transfer-Encoding", "chunked")];
    let small = server.send_chunked("POST", UPLOAD, &headers, b"content").await;
    let answer = al.get(&format!("{DOWNLOAD}/{}", id(small))).await;
    assert_eq!(answer.body, b"content");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    server.send_chunked("POST", UPLOAD, &headers, &vec![0; 102_401]).await.refused(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn thumbnails_are_drawn() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let id = id(upload(&server, &al, "?filename=x.png", "image/png", &picture()).await);
    for (query, expected) in [
        ("width=30&height=30", (30, 10)),
        ("width=30&height=30&method=scale&animated=true", (30, 10)),
        ("width=30&height=30&method=crop", (30, 30)),
        ("width=3000&height=3000", (300, 100)),
    ] {
        let answer = al.get(&format!("{THUMBNAIL}/{id}?{query}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("image/jpeg"));
        assert_eq!(answer.header("content-disposition"), Some("inline"));
        assert!(answer.header("content-security-policy").is_some());
        let shown = image::load_from_memory(&answer.body).expect("a picture");
        assert_eq!((shown.width(), shown.height()), expected, "{query}");
    }
    for query in ["width=0&height=1", "width=1&height=-1", "width=x&height=1", "width=1"] {
        assert_eq!(al.get(&format!("{THUMBNAIL}/{id}?{query}")).await.status, 400, "{query}");
    }
    let text = self::id(upload(&server, &al, "", "image/png", b"no picture").await);
    al.get(&format!("{THUMBNAIL}/{text}?width=1&height=1")).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn the_disk_knows_nothing_of_it() {
    let mut server = TestServer::open().await;
    let al = server.register("al").await;
    let id = id(upload(&server, &al, "?filename=canary-name", "text/x-canary", &b"canary ".repeat(900)).await);
    let directory = server.directory.path().to_owned();
    let names: Vec<_> = fs::read_dir(directory.join("data/media")).expect("segments").collect();
    assert_eq!(names.len(), 1);
    server.restart().await;
    let mut seen = 0;
    search(&directory, &[b"canary", id.as_bytes(), b"text/x"], &mut seen);
    assert!(seen > 4096);
}

fn search(directory: &Path, needles: &[&[u8]], seen: &mut usize) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            search(&path, needles, seen);
            continue;
        }
        let Ok(bytes) = fs::read(&path) else { continue };
        *seen += bytes.len();
        for needle in needles {
            assert!(!bytes.windows(needle.len()).any(|window| window == *needle), "in {}", path.display());
        }
    }
}
