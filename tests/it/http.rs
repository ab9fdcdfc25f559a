//! The edge: CORS, unknown paths and methods, bodies that cannot be read, tokens, static answers.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use lethe::admin::{Answer as AdminAnswer, Request, ask};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::TestServer;

const CAPABILITIES: &str = "/_matrix/client/v3/capabilities";

#[tokio::test]
async fn cors_is_on_everything() {
    let server = TestServer::start().await;
    for (method, path, status) in [
        ("GET", "/_matrix/client/versions", 200),
        ("OPTIONS", "/_matrix/client/v3/sync", 200),
        ("OPTIONS", "/no/such/path", 200),
        ("GET", "/no/such/path", 404),
        ("PUT", "/_matrix/client/versions", 405),
        ("GET", CAPABILITIES, 401),
    ] {
        let answer = server.send(method, path, &[], b"").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        let methods = answer.header("access-control-allow-methods").expect("methods");
        assert_eq!(methods, "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        let headers = answer.header("access-control-allow-headers").expect("headers");
        assert_eq!(headers, "X-Requested-With, Content-Type, Authorization, Date");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_unrecognised() {
    let server = TestServer::start().await;
    for path in ["/", "/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.errcode().as_str()), (404, "M_UNRECOGNIZED"), "{path}");
    }
    let answer = server.send("DELETE", "/_matrix/client/v3/login", &[], b"").await;
    assert_eq!((answer.status, answer.errcode().as_str()), (405, "M_UNRECOGNIZED"));
}

#[tokio::test]
async fn versions_are_listed() {
    let server = TestServer::start().await;
    let answer = server.get("/_matrix/client/versions/?_cacheBuster=1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let versions = answer.json();
    assert!(versions["versions"].as_array().expect("a list").contains(&json!("v1.11")));
    assert_eq!(versions["unstable_features"]["org.matrix.simplified_msc3575"], json!(true));
}

#[tokio::test]
async fn every_version_of_a_path_answers() {
    let server = TestServer::start().await;
    let flows = json!([{"type": "m.login.password"}, {"type": "m.login.token", "get_login_token": true}]);
    for path in ["/_matrix/client/r0/login", "/_matrix/client/v3/login", "/_matrix/client/v3/login/"] {
        let answer = server.get(path).await;
        assert_eq!(answer.json(), json!({"flows": flows}), "{path}");
    }
    let head = server.send("HEAD", "/_matrix/client/v3/login", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn tokens_are_asked_for_before_the_body_is_read() {
    let server = TestServer::start().await;
    let missing = server.send("GET", CAPABILITIES, &[], b"{{{").await;
    assert_eq!((missing.status, missing.errcode().as_str()), (401, "M_MISSING_TOKEN"));
    let scheme = server.send("GET", CAPABILITIES, &[("Authorization", "Basic c2VjcmV0")], b"").await;
    assert_eq!((scheme.status, scheme.errcode().as_str()), (401, "M_MISSING_TOKEN"));
    for (path, headers) in [
        (CAPABILITIES.to_owned(), vec![("Authorization", "Bearer x")]),
        (format!("{CAPABILITIES}?access_token=x"), vec![]),
    ] {
        let unknown = server.send("GET", &path, &headers, b"").await;
        assert_eq!((unknown.status, unknown.errcode().as_str()), (401, "M_UNKNOWN_TOKEN"));
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let server = TestServer::start().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let answer = server.send("GET", "/_matrix/client/versions", &[], deep.as_bytes()).await;
    assert_eq!((answer.status, answer.errcode().as_str()), (400, "M_BAD_JSON"));
    let answer = server.send("GET", "/_matrix/client/versions", &[], &vec![b' '; 1024 * 1024 + 1]).await;
    assert_eq!((answer.status, answer.errcode().as_str()), (413, "M_TOO_LARGE"));
}

#[tokio::test]
async fn the_well_known_files_are_what_is_configured() {
    let server = TestServer::start().await;
    for file in ["client", "server", "support"] {
        assert_eq!(server.get(&format!("/.well-known/matrix/{file}")).await.errcode(), "M_NOT_FOUND");
    }
    let server = TestServer::with(
        "[server]\nbase_url = \"https://m.example\"\n[well_known]\nserver = \"m.example:443\"\nsupport_page = \"https://h\"",
    )
    .await;
    let client = server.get("/.well-known/matrix/client").await.json();
    assert_eq!(client, json!({"m.homeserver": {"base_url": "https://m.example"}}));
    assert_eq!(server.get("/.well-known/matrix/server").await.json(), json!({"m.server": "m.example:443"}));
    assert_eq!(server.get("/.well-known/matrix/support").await.json(), json!({"support_page": "https://h"}));
}

#[tokio::test]
async fn the_directory_and_the_socket_belong_to_the_server_alone() {
    let server = TestServer::start().await;
    let data = server.directory.path().join("data");
    let mode = |path| std::fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(data.clone()), 0o700);
    assert_eq!(mode(data.join("admin.sock")), 0o600);
    let mut config = lethe::config::Config::default();
    config.storage.data = data.clone();
    let asked =
        tokio::task::spawn_blocking(move || ask(&config, &Request::TokenCreate { uses: Some(1), expires_in: None }));
    let answer = asked.await.expect("no panic").expect("answered");
    assert!(matches!(answer, AdminAnswer::Done { .. } | AdminAnswer::Failed { .. }));
    server.stop().await;
    assert!(!data.join("admin.sock").exists());
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_stop() {
    let server = TestServer::start().await;
    let mut kept = server.connect().await;
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.expect("answered");
    assert_eq!(&first, b"HTTP/1.1 200");
    let silent = server.connect().await;
    let stopped = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
    assert!(stopped.is_ok());
    drop(silent);
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).await.expect("closed in order");
}
