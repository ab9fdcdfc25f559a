//! The doctor, on servers that are well and on one that is not.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, Method, Uri},
    response::IntoResponse,
};
use lethe::{
    clock::{Clock, ManualClock, SystemClock, Timestamp},
    config::Config,
    doctor::{self, Patient, Report, Severity},
    probe::certificate::Roots,
    random::SeededRandom,
};

use crate::server::TestServer;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/ca.pem");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/localhost.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/localhost.key");

/// How bad the worst finding of this check is.
fn severity(report: &Report, check: &str) -> Option<Severity> {
    let found = report.findings().iter().filter(|finding| finding.check == check);
    found.map(|finding| finding.severity).max()
}

#[track_caller]
fn expect(report: &Report, expected: &[(&str, Severity)]) {
    for (check, expected) in expected {
        assert_eq!(severity(report, check), Some(*expected), "{check}\n{report}");
    }
}

fn plain(server: &TestServer) -> String {
    format!("http://{}", server.server().addresses()[0])
}

/// A server that speaks TLS as `localhost`.
async fn encrypted(toml: &str) -> (TestServer, String) {
    let server =
        TestServer::with(&format!("{toml}\n[server]\ntls_certificate = \"{CERTIFICATE}\"\ntls_key = \"{KEY}\"\n"))
            .await;
    let port = server.server().addresses()[0].port();
    (server, format!("https://localhost:{port}"))
}

#[tokio::test]
async fn a_good_server_from_outside() {
    let (_server, url) = encrypted("").await;
    let roots = Roots::public(Some(Path::new(CA)));
    let report = doctor::external::examine(&url, &roots, &SystemClock::new()).await;
    expect(
        &report,
        &[
            ("external.tls", Severity::Fine),
            ("external.versions", Severity::Fine),
            ("external.cors", Severity::Fine),
            ("external.registration", Severity::Fine),
            ("external.paths", Severity::Fine),
            ("external.uploads", Severity::Fine),
            ("external.closed", Severity::Fine),
        ],
    );
    let late = ManualClock::at(SystemClock::new().now().after(Duration::from_mins(2)));
    let report = doctor::external::examine(&url, &roots, &late).await;
    expect(&report, &[("external.clock", Severity::Warning)]);
}

#[tokio::test]
async fn a_certificate_nobody_signed() {
    let (_server, url) = encrypted("").await;
    let clock = SystemClock::new();
    let report = doctor::external::examine(&url, &Roots::public(None), &clock).await;
    expect(&report, &[("external.tls", Severity::Error), ("external.versions", Severity::Fine)]);
    let named = url.replace("localhost", "127.0.0.1");
    let report = doctor::external::examine(&named, &Roots::public(Some(Path::new(CA))), &clock).await;
    expect(&report, &[("external.tls", Severity::Error)]);
    assert!(report.to_string().contains("made for another name"), "{report}");
}

#[tokio::test]
async fn an_open_server_without_tls() {
    let server = TestServer::open_with("[server]\nbase_url = \"http://localhost\"").await;
    let report = doctor::external::examine(&plain(&server), &Roots::none(), &SystemClock::new()).await;
    // The well-known file leads to a port where nobody listens.
    expect(&report, &[("external.reach", Severity::Error)]);
    let server = TestServer::open().await;
    let report = doctor::external::examine(&plain(&server), &Roots::none(), &SystemClock::new()).await;
    expect(
        &report,
        &[
            ("external.well-known", Severity::Advice),
            ("external.tls", Severity::Error),
            ("external.registration", Severity::Warning),
        ],
    );
}

/// A server behind a proxy that does everything wrong.
async fn badly_proxied() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(|method: Method, uri: Uri| async move {
        let mut headers = HeaderMap::new();
        headers.append("access-control-allow-origin", HeaderValue::from_static("*"));
        headers.append("access-control-allow-origin", HeaderValue::from_static("*"));
        headers.insert("server", HeaderValue::from_static("nginx/1.0"));
        let (status, body) = match (method, uri.path()) {
            (Method::GET, "/_matrix/client/versions") => (200, r#"{"versions":["v1.1"]}"#),
            (Method::GET, "/_synapse/admin/v1/register" | "/metrics") => (200, "{}"),
            (Method::POST, "/_matrix/media/v3/upload") => (413, ""),
            (Method::POST, _) => (401, r#"{"flows":[{"stages":["m.login.dummy"]}],"params":{},"session":"x"}"#),
            (Method::OPTIONS, _) => (405, ""),
            _ => (404, r#"{"errcode":"M_UNRECOGNIZED","error":""}"#),
        };
        (axum::http::StatusCode::from_u16(status).expect("a status"), headers, body).into_response()
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn a_bad_proxy_is_seen_through() {
    let url = format!("http://{}", badly_proxied().await);
    let report = doctor::external::examine(&url, &Roots::none(), &SystemClock::new()).await;
    expect(
        &report,
        &[
            ("external.cors", Severity::Error),
            ("external.registration", Severity::Warning),
            ("external.paths", Severity::Error),
            ("external.uploads", Severity::Warning),
            ("external.closed", Severity::Warning),
            ("external.headers", Severity::Warning),
        ],
    );
    assert!(report.to_string().contains("server: nginx/1.0"), "{report}");
}

#[tokio::test]
async fn nobody_there() {
    for url in ["https://127.0.0.1:1", "http://127.0.0.1:1/"] {
        let report = doctor::external::examine(url, &Roots::none(), &SystemClock::new()).await;
        expect(&report, &[("external.reach", Severity::Error)]);
        assert_eq!(report.exit_code(), 2);
    }
    let report = doctor::external::examine("ftp://x", &Roots::none(), &SystemClock::new()).await;
    expect(&report, &[("external.url", Severity::Error)]);
}

async fn examine(toml: &str, directory: &Path, clock: &dyn Clock) -> Report {
    let config = Config::from_parts(toml, []).map(|mut config| {
        config.storage.data = directory.join("data");
        config
    });
    let patient = Patient {
        config: &config,
        file: None,
        proxy: vec![directory.join("Caddyfile")],
        clock,
        random: &SeededRandom::new(1),
    };
    doctor::examine(&patient).await
}

#[tokio::test]
async fn a_running_server_from_inside() {
    let server = TestServer::start().await;
    std::fs::write(server.directory.path().join("Caddyfile"), "m.example {\n\tlog\n}\n").expect("written");
    let report = examine("", server.directory.path(), &SystemClock::new()).await;
    expect(
        &report,
        &[
            ("config.valid", Severity::Fine),
            ("config.name", Severity::Warning),
            ("data.directory", Severity::Fine),
            ("keys.directory", Severity::Fine),
            ("keys.apart", Severity::Advice),
            ("server.running", Severity::Fine),
            ("proxy.logs", Severity::Error),
        ],
    );
    assert!(severity(&report, "keys.overwriting").is_some() && severity(&report, "server.open-files").is_some());
    let left = std::fs::read_dir(server.directory.path().join("data/keys")).expect("readable").count();
    assert_eq!(left, 4, "lock, root and two images: what was tried is removed again");
}

#[tokio::test]
async fn a_careless_configuration() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::TempDir::new().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).expect("set");
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "s3cret").expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("set");
    let toml = format!(
        "[server]\nname = \"example.org\"\nbase_url = \"http://m.example.org\"\nlisten = [\"192.0.2.1:8008\"]\n\
         [registration]\nmode = \"open\"\nshared_secret_file = \"{}\"\n\
         [accounts]\npassword_guesses_log10 = 6\n[metrics]\nlog = true\n",
        secret.display()
    );
    let report = examine(&toml, directory.path(), &SystemClock::new()).await;
    expect(
        &report,
        &[
            ("config.name", Severity::Fine),
            ("config.base-url", Severity::Warning),
            ("config.registration", Severity::Warning),
            ("config.shared-secret", Severity::Advice),
            ("config.secrets", Severity::Error),
            ("config.passwords", Severity::Warning),
            ("config.metrics-log", Severity::Advice),
            ("data.directory", Severity::Error),
            ("keys.directory", Severity::Advice),
            ("server.running", Severity::Advice),
            ("proxy.logs", Severity::Warning),
        ],
    );
    assert!(!report.json().contains("s3cret"));
    let broken = examine("[server]\nnam = \"x\"", directory.path(), &SystemClock::new()).await;
    expect(&broken, &[("config.valid", Severity::Error)]);
    assert_eq!(broken.exit_code(), 2);
}

/// The certificate of the tests ends in November 2126.
#[tokio::test]
async fn certificates_end() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let toml = |certificate: &str| {
        format!(
            "[server]\nbase_url = \"https://localhost\"\ntls_certificate = \"{certificate}\"\ntls_key = \"{KEY}\"\n"
        )
    };
    let day = Duration::from_hours(24);
    let clock = Arc::new(ManualClock::at(Timestamp(4_940_000_000_000)));
    let at = |report: &Report| severity(report, "tls.certificate");
    let mut seen = Vec::new();
    for _ in 0..120 {
        seen.extend(at(&examine(&toml(CERTIFICATE), directory.path(), &*clock).await));
        clock.advance(day);
    }
    let count = |wanted| seen.iter().filter(|severity| **severity == wanted).count();
    assert_eq!(count(Severity::Warning), 14, "a fortnight's notice");
    assert!(count(Severity::Fine) > 0 && count(Severity::Error) > 0);
    assert!(seen.is_sorted());
    let wrong = toml(CERTIFICATE).replace("https://localhost", "https://example.org");
    assert_eq!(at(&examine(&wrong, directory.path(), &SystemClock::new()).await), Some(Severity::Error));
    let unusable = examine(&toml(CA), directory.path(), &SystemClock::new()).await;
    expect(&unusable, &[("tls.key", Severity::Error)]);
}
