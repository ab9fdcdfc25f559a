//! `doc/api.md` lists every operation of the client-server API, as ruma and our router know them.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lethe::api::{Operation, operations};
use serde_json::{Value, json};

use crate::server::TestServer;

/// Operations of the specification that ruma has no type for: they are deprecated.
const WITHOUT_TYPE: &[(&str, &str, &str)] = &[
    ("account", "POST", "/_matrix/client/v3/account/3pid"),
    ("peeking", "GET", "/_matrix/client/v3/events/{event_id}"),
    ("peeking", "GET", "/_matrix/client/v3/initialSync"),
];

const INTRODUCTION: &str = "\
# The client-server API

Every operation of the specification (v1.19) and of the proposals that ruma has types for, and what this server makes of
it. A test writes this page from ruma's sources and from the router, and fails when it is out of date:
`LETHE_WRITE=1 cargo test --test it api_table` writes it anew.

* *implemented*: at the path shown and at its older names.
* *unstable*: implemented under the name of a proposal, which may change.
* *refused*: the feature does not exist here; whoever may ask gets this error.
* *unknown*: `404 M_UNRECOGNIZED`, as for any path that does not exist.
";

/// An operation as ruma describes it.
struct Described {
    family: String,
    method: String,
    paths: Vec<String>,
}

#[test]
fn the_table_of_operations_is_current() {
    let table = table(&described(), &operations());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/api.md");
    if std::env::var_os("LETHE_WRITE").is_some() {
        fs::write(&file, &table).expect("written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == table, "run `LETHE_WRITE=1 cargo test --test it api_table`");
}

/// What the table calls refused is refused so, with whatever body, and only to who may ask.
#[tokio::test]
async fn refusals_are_those_of_the_table() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let mut refused = 0;
    for operation in operations() {
        let Some(refusal) = operation.refusal else { continue };
        let (path, error) = (filled(&operation.path), refusal());
        for body in [&b""[..], b"{}", br#"{"client_secret":"s","email":"a@example.org","send_attempt":1}"#] {
            let answer = alice.send(operation.method.as_str(), &path, body).await;
            answer.refused(error.status().as_u16(), &error.code().expect("a code"));
        }
        let stranger = server.send(operation.method.as_str(), &path, &[], b"{}").await;
        assert!([401, error.status().as_u16()].contains(&stranger.status), "{path}");
        refused += 1;
    }
    assert!(refused > 20, "{refused}");
}

/// The examples that the specification spells out.
#[tokio::test]
async fn features_that_are_not_here_are_refused_as_the_specification_says() {
    let server = TestServer::open().await;
    let alice = server.register("alice").await;
    let email = json!({"client_secret": "s", "email": "a@example.org", "send_attempt": 1});
    for (path, status, code) in [
        ("account/3pid/email/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ("register/email/requestToken", 403, "M_THREEPID_DENIED"),
        ("account/password/email/requestToken", 403, "M_THREEPID_DENIED"),
    ] {
        server.post(&format!("/_matrix/client/v3/{path}"), &email).await.refused(status, code);
    }
    let proof =
        json!({"three_pid_creds": {"client_secret": "s", "sid": "1", "id_server": "x", "id_access_token": "y"}});
    alice.post("account/3pid", &proof).await.refused(403, "M_THREEPID_AUTH_FAILED");
    server.post("/_matrix/client/v3/account/3pid", &proof).await.refused(401, "M_MISSING_TOKEN");
    let gone = json!({"medium": "email", "address": "a@example.org"});
    for path in ["account/3pid/delete", "account/3pid/unbind"] {
        assert_eq!(alice.post(path, &gone).await.ok(), json!({"id_server_unbind_result": "no-support"}));
    }
    assert_eq!(alice.get("account/3pid").await.ok(), json!({"threepids": []}));
    assert_eq!(alice.get("thirdparty/protocols").await.ok(), json!({}));
    alice.get("thirdparty/user/im.vector.protocol.sip_virtual?native_mxid=x").await.refused(404, "M_NOT_FOUND");
    for path in ["/_matrix/client/v1/auth_metadata", "/_matrix/client/v3/login/sso/redirect?redirectUrl=http://x"] {
        server.get(path).await.refused(404, "M_UNRECOGNIZED");
    }
    server.get("/.well-known/matrix/policy_server").await.refused(404, "M_NOT_FOUND");
    let service = "/_matrix/client/v1/appservice/bridge/ping";
    alice.post(service, &json!({})).await.refused(403, "M_FORBIDDEN");
    server.post(service, &json!({})).await.refused(401, "M_MISSING_TOKEN");
    let stranger = server.send("POST", service, &[("Authorization", "Bearer x")], b"{}").await;
    stranger.refused(401, "M_UNKNOWN_TOKEN");
    server.post("/_matrix/client/v3/register?kind=guest", &json!({})).await.refused(403, "M_FORBIDDEN");
}

fn table(described: &[Described], operations: &[Operation]) -> String {
    let known: BTreeMap<(String, String), &Operation> =
        operations.iter().map(|known| ((known.method.to_string(), bare(&known.path)), known)).collect();
    let mut families: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut counts = BTreeMap::from([("implemented", 0), ("unstable", 0), ("refused", 0), ("unknown", 0)]);
    for operation in described {
        let Described { family, method, paths } = operation;
        let path = paths.last().expect("a path");
        let found = paths.iter().find_map(|path| known.get(&(method.clone(), bare(path))));
        let (state, detail) = match found {
            None => ("unknown", String::new()),
            Some(Operation { refusal: Some(refusal), .. }) => {
                let error = refusal();
                ("refused", format!(": `{} {}`", error.status().as_u16(), error.code().expect("a code")))
            }
            Some(_) if path.contains("/unstable/") => ("unstable", String::new()),
            Some(_) => ("implemented", String::new()),
        };
        *counts.get_mut(state).expect("counted") += 1;
        families.entry(family).or_default().push(format!("| {method} | `{path}` | {state}{detail} |"));
    }
    let mut text = INTRODUCTION.to_owned();
    let sum: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    writeln!(text, "\n{} operations: {}.", described.len(), sum.join(", ")).expect("a string takes every write");
    for (family, mut rows) in families {
        rows.sort_unstable_by_key(|row| row.split('`').nth(1).map(ToOwned::to_owned));
        let rows = rows.join("\n");
        write!(text, "\n## {family}\n\n| method | path | state |\n|---|---|---|\n{rows}\n").expect("as before");
    }
    text
}

/// A path without the names of its parameters, and without a slash at its end.
fn bare(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.trim_end_matches('/').split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A path with something in the place of each parameter.
fn filled(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "x".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Every operation of ruma's client-server API, those behind features that are off among them.
fn described() -> Vec<Described> {
    let root = sources();
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        let family = file.strip_prefix(&root).expect("below").iter().next().expect("a name");
        let family = family.to_string_lossy().trim_end_matches(".rs").to_owned();
        for block in text.split("metadata! {").skip(1) {
            let block = block.split("\n    }\n").next().expect("a first part");
            let block = block.split("\n}\n").next().expect("a first part");
            let method = block.split("method: ").nth(1).and_then(|rest| rest.split(',').next());
            let paths = block.split('"').filter(|text| text.starts_with('/')).map(ToOwned::to_owned).collect();
            let method = method.expect("a method").to_owned();
            found.push(Described { family: family.clone(), method, paths });
        }
    }
    for (family, method, path) in WITHOUT_TYPE {
        let (family, method, paths) = ((*family).to_owned(), (*method).to_owned(), vec![(*path).to_owned()]);
        found.push(Described { family, method, paths });
    }
    assert!(found.len() > 190 && found.iter().all(|found| !found.paths.is_empty()), "ruma is written in another way");
    found
}

/// Where cargo keeps the sources of ruma's client-server API.
fn sources() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--offline", "--locked"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let told: Value = serde_json::from_slice(&command.output().expect("cargo runs").stdout).expect("JSON");
    let packages = told["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "ruma-client-api").expect("ruma");
    Path::new(package["manifest_path"].as_str().expect("a path")).with_file_name("src")
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
