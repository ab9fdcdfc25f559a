//! Uploads, downloads and thumbnails over HTTP.

use std::{fs, io::Cursor, path::Path, time::Duration};

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
        assert_eq!(answer.header("content-disposition"), Some(r#"attachment; filename="report.pdf""#));
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
        ("content-disposition", "attachment; filename*=UTF-8''..%2F%22x%E2%80%AEy.html"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("content-security-policy").expect("a policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(answer.header("last-modified"), None);
    let named = al.get(&format!("{DOWNLOAD}/{page}/f%C3%BCr%20dich.html")).await;
    let disposition = named.header("content-disposition").expect("a disposition");
    assert_eq!(disposition, "attachment; filename*=UTF-8''f%C3%BCr%20dich.html");
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
    for old in [format!("download/localhost/{id}"), format!("download/localhost/{id}/x"), {
        format!("thumbnail/localhost/{id}?width=1&height=1")
    }] {
        let old = format!("/_matrix/media/v3/{old}");
        server.get(&old).await.refused(404, "M_NOT_FOUND");
        server.send("GET", &old, &[("Authorization", "Bearer x")], b"").await.refused(401, "M_UNKNOWN_TOKEN");
        assert_eq!(al.get(&old).await.status, 200, "with a token they are as good as the new ones");
    }
    al.get(&format!("{DOWNLOAD}/{id}")).await.body.starts_with(b"\x89PNG").then_some(()).expect("it is there");
    for other in [format!("{DOWNLOAD}/nothing"), format!("{DOWNLOAD}/{}", "A".repeat(22)), {
        format!("/_matrix/client/v1/media/download/elsewhere.example/{id}")
    }] {
        al.get(&other).await.refused(404, "M_NOT_FOUND");
    }
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

/// `GET path` with `headers` as `who`.
async fn get_with(server: &TestServer, who: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let token = format!("Bearer {}", who.token);
    let headers = [&[("Authorization", token.as_str())], headers].concat();
    server.send("GET", path, &headers, b"").await
}

#[tokio::test]
async fn parts_are_served() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let content: Vec<u8> = (0..200_000_u32).map(|at| u8::try_from(at % 255).expect("small")).collect();
    let path = format!("{DOWNLOAD}/{}", id(upload(&server, &al, "?filename=x.mp4", "video/mp4", &content).await));
    let whole = al.get(&path).await;
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").expect("a tag").to_owned();
    for (range, place, part) in [
        ("bytes=0-99", "bytes 0-99/200000", &content[..100]),
        ("bytes=65000-140000", "bytes 65000-140000/200000", &content[65_000..=140_000]),
        ("bytes=-1", "bytes 199999-199999/200000", &content[199_999..]),
        ("bytes=131072-", "bytes 131072-199999/200000", &content[131_072..]),
    ] {
        for headers in [&[("Range", range)][..], &[("Range", range), ("If-Range", &tag)]] {
            let answer = get_with(&server, &al, &path, headers).await;
            assert_eq!((answer.status, answer.header("content-range")), (206, Some(place)));
            assert_eq!(answer.header("content-length"), Some(part.len().to_string().as_str()));
            assert_eq!(answer.header("content-disposition"), Some(r#"inline; filename="x.mp4""#));
            assert!(answer.body == part, "{range}");
        }
    }
    let beyond = get_with(&server, &al, &path, &[("Range", "bytes=200000-")]).await;
    beyond.refused(416, "M_UNKNOWN");
    assert_eq!(beyond.header("content-range"), Some("bytes */200000"));
    for headers in [&[("Range", "bytes=0-1,5-6")][..], &[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]] {
        let answer = get_with(&server, &al, &path, headers).await;
        assert_eq!((answer.status, answer.body.len()), (200, 200_000));
    }
    let known = get_with(&server, &al, &path, &[("If-None-Match", &format!("\"other\", W/{tag}"))]).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(tag.as_str())));
}

#[tokio::test]
async fn heads_are_served() {
    let server = TestServer::open().await;
    let al = server.register("al").await;
    let id = id(upload(&server, &al, "", "image/png", &picture()).await);
    for path in [format!("{DOWNLOAD}/{id}"), format!("{DOWNLOAD}/{id}/a.png"), {
        format!("{THUMBNAIL}/{id}?width=30&height=30")
    }] {
        let (whole, head) = (al.get(&path).await, al.send("HEAD", &path, b"").await);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "content-type", "content-disposition", "content-security-policy"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
        assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    }
    assert_eq!(al.send("HEAD", &format!("{DOWNLOAD}/nothing"), b"").await.status, 404);
}

const CREATE: &str = "/_matrix/media/v1/create";

#[tokio::test]
async fn an_id_can_be_made_before_its_content_comes() {
    let server = TestServer::open().await;
    let (al, bo) = (server.register("al").await, server.register("bo").await);
    let made = al.post(CREATE, &json!({})).await.ok();
    assert_eq!(made["unused_expires_at"], crate::server::NOW.0 + 86_400_000);
    let id = made["content_uri"].as_str().expect("a URI").strip_prefix("mxc://localhost/").expect("ours").to_owned();
    for path in [format!("{DOWNLOAD}/{id}?timeout_ms=0"), format!("{THUMBNAIL}/{id}?width=9&height=9&timeout_ms=0")] {
        bo.get(&path).await.refused(504, "M_NOT_YET_UPLOADED");
    }
    let waiting = tokio::spawn({
        let (bo, path) = (bo.clone(), format!("{DOWNLOAD}/{id}?timeout_ms=30000"));
        async move { bo.get(&path).await }
    });
    let target = format!("{UPLOAD}/localhost/{id}");
    bo.send("PUT", &target, b"content").await.refused(403, "M_FORBIDDEN");
    server.send("PUT", &target, &[], b"content").await.refused(401, "M_MISSING_TOKEN");
    let token = format!("Bearer {}", al.token);
    let headers = [("Authorization", token.as_str()), ("Content-Type", "text/plain")];
    let put = server.send("PUT", &format!("{target}?filename=a.txt"), &headers, b"content").await;
    assert_eq!(put.ok(), json!({}));
    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"content"[..]));
    assert_eq!(answer.header("content-disposition"), Some(r#"inline; filename="a.txt""#));
    for who in [&al, &bo] {
        who.send("PUT", &target, b"").await.refused(409, "M_CANNOT_OVERWRITE_MEDIA");
    }
    let plain = self::id(upload(&server, &al, "", "text/plain", b"x").await);
    al.send("PUT", &format!("{UPLOAD}/localhost/{plain}"), b"y").await.refused(409, "M_CANNOT_OVERWRITE_MEDIA");
    for unknown in [format!("localhost/{}", "A".repeat(22)), "localhost/x".to_owned(), format!("elsewhere/{id}")] {
        al.send("PUT", &format!("{UPLOAD}/{unknown}"), b"y").await.refused(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn ids_without_content_expire_and_are_few() {
    let server = TestServer::open_with("[media]\nmax_upload = \"1KiB\"\n").await;
    let al = server.register("al").await;
    let make = async || {
        let made = al.post(CREATE, &json!({})).await.ok();
        made["content_uri"].as_str().expect("a URI").trim_start_matches("mxc://").to_owned()
    };
    let id = make().await;
    let target = format!("{UPLOAD}/{id}");
    al.send("PUT", &target, &[0; 1025]).await.refused(413, "M_TOO_LARGE");
    server.clock.advance(Duration::from_hours(24));
    al.send("PUT", &target, b"late").await.refused(404, "M_NOT_FOUND");
    let path = format!("/_matrix/client/v1/media/download/{id}");
    al.get(&path).await.refused(404, "M_NOT_FOUND");
    for _ in 0..100 {
        make().await;
    }
    let refused = al.post(CREATE, &json!({})).await;
    refused.refused(429, "M_LIMIT_EXCEEDED");
    assert!(refused.json()["retry_after_ms"].as_u64().is_some());
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
        assert_eq!(answer.header("content-disposition"), Some(r#"inline; filename="thumbnail.jpg""#));
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
