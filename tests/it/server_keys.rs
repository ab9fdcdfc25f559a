//! The server's own keys, and TLS beside a listener without.

use std::{path::Path, sync::Arc};

use lethe::clock::Timestamp;
use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet, verify_json},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

use crate::server::{NOW, TestServer};

/// Where the certificate of `localhost` and its key lie, good for a century.
fn tls_file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name).display().to_string()
}

/// Fails unless the answer is signed by every key it names.
fn check(keys: &Value) {
    let mut set = PublicKeySet::new();
    for (id, key) in keys["verify_keys"].as_object().expect("keys") {
        let public = key["key"].as_str().expect("a key");
        set.insert(id.clone(), Base64::parse(public).expect("base64"));
    }
    let object: CanonicalJsonObject = serde_json::from_value(keys.clone()).expect("canonical");
    let known = PublicKeyMap::from([("localhost".to_owned(), set)]);
    assert!(known["localhost"].len() == 1 && verify_json(&known, &object).is_ok(), "{keys}");
}

#[tokio::test]
async fn the_signing_key_is_published_under_its_own_signature() {
    let mut server = TestServer::start().await;
    let keys = server.get("/_matrix/key/v2/server").await.ok();
    check(&keys);
    assert_eq!((&keys["server_name"], &keys["old_verify_keys"]), (&json!("localhost"), &json!({})));
    let until = Timestamp(keys["valid_until_ts"].as_u64().expect("a time"));
    let hours = until.since(NOW).as_secs().div_ceil(3600);
    assert!((23..=24).contains(&hours) && until.0.is_multiple_of(3_600_000));
    assert_eq!(server.get("/_matrix/key/v2/server/ed25519:x").await.ok(), keys);
    server.restart().await;
    assert_eq!(server.get("/_matrix/key/v2/server").await.ok(), keys);
}

#[tokio::test]
async fn a_notary_speaks_for_itself_alone() {
    let server = TestServer::start().await;
    let keys = server.get("/_matrix/key/v2/server").await.ok();
    for (path, found) in
        [("localhost", vec![keys.clone()]), ("localhost/ed25519:x", vec![keys.clone()]), ("ex.org", vec![])]
    {
        let answer = server.get(&format!("/_matrix/key/v2/query/{path}")).await.ok();
        assert_eq!(answer, json!({ "server_keys": found }), "{path}");
    }
    let asked = json!({"server_keys": {"localhost": {}, "ex.org": {"ed25519:1": {"minimum_valid_until_ts": 1}}}});
    assert_eq!(server.post("/_matrix/key/v2/query", &asked).await.ok(), json!({"server_keys": [keys]}));
    server.post("/_matrix/key/v2/query", &json!({"server_keys": []})).await.refused(400, "M_BAD_JSON");
    server.send("PUT", "/_matrix/key/v2/query", &[], b"").await.refused(405, "M_UNRECOGNIZED");
    server.get("/_matrix/key/v2/unknown").await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn the_software_is_told_and_its_version_is_not() {
    let server = TestServer::start().await;
    let version = server.get("/_matrix/federation/v1/version").await.ok();
    assert_eq!(version, json!({"server": {"name": "Lethe"}}));
    server.send("PUT", "/_matrix/federation/v1/version", &[], b"").await.refused(405, "M_UNRECOGNIZED");
    server.get("/_matrix/federation/v1/unknown").await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn listeners_with_tls_stand_beside_those_without() {
    let (certificate, key) = (tls_file("certificate.pem"), tls_file("key.pem"));
    let toml =
        format!("[server]\nlisten_tls = [\"127.0.0.1:0\"]\ntls_certificate = \"{certificate}\"\ntls_key = \"{key}\"");
    let server = TestServer::with(&toml).await;
    assert_eq!(server.get("/health").await.status, 200);
    let [_, address] = server.server().addresses() else { panic!("two listeners") };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificate).expect("a certificate")).expect("an anchor");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let plain = TcpStream::connect(address).await.expect("connected");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, plain).await.expect("a handshake");
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
