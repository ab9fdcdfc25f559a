//! What the client-server API says to strangers.

use axum::http::{
    Method,
    header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN},
};
use bytes::Bytes;
use serde_json::Value;

use super::{Answer, Finding, Payload, Report, Subject, cors_flaw, errcode, probe};

/// Whether a Matrix server answers at all.
pub(super) fn versions(subject: &Subject<'_>, answer: &Answer, report: &mut Report) -> bool {
    let check = "external.versions";
    let versions = answer.json().and_then(|body| body["versions"].as_array().cloned()).unwrap_or_default();
    let newest = versions.iter().filter_map(Value::as_str).next_back();
    match newest.filter(|_| answer.status == 200) {
        Some(newest) => report.add(Finding::fine(check, format!("{} speaks Matrix up to {newest}", subject.host))),
        None => report.add(Finding::error(
            check,
            format!("{} answers with status {} and no list of versions", subject.host, answer.status),
            "It is not a Matrix server, or something before it answers in its place.",
            "Let the proxy hand everything under /_matrix/ to Lethe, unchanged.",
        )),
    }
    newest.is_some()
}

pub(super) async fn examine(subject: &Subject<'_>, report: &mut Report) {
    cors(subject, report).await;
    registration(subject, report).await;
    paths(subject, report).await;
    uploads(subject, report).await;
}

/// A browser asks before it sends a login ([spec](https://spec.matrix.org/latest/client-server-api/#web-browser-clients)).
async fn cors(subject: &Subject<'_>, report: &mut Report) {
    let headers = [
        (ORIGIN, "https://app.example.org"),
        (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
        (ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type"),
    ];
    let path = "/_matrix/client/v3/login";
    let Ok(answer) = subject.ask(Method::OPTIONS, path, &headers, Payload::Whole(Bytes::new())).await else { return };
    let allows =
        |name: &str, word: &str| answer.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(word));
    let flaw = match cors_flaw(&answer) {
        _ if !(200..300).contains(&answer.status) => Some("the browser's question is refused"),
        None if !allows("access-control-allow-methods", "put") => Some("PUT is not allowed"),
        None if !allows("access-control-allow-headers", "authorization") => Some("Authorization is not allowed"),
        flaw => flaw,
    };
    report.add(match flaw {
        None => Finding::fine("external.cors", "clients in browsers are let in"),
        Some(flaw) => Finding::error(
            "external.cors",
            format!("clients in browsers cannot use the server: {flaw}"),
            "Element Web is such a client.",
            "Let the proxy pass OPTIONS on and leave Lethe's Access-Control headers as they are; it must add none.",
        ),
    });
}

/// An empty request for registration is answered with the ways to register, and registers nobody.
async fn registration(subject: &Subject<'_>, report: &mut Report) {
    let check = "external.registration";
    let path = "/_matrix/client/v3/register";
    let body = Payload::Whole(Bytes::from_static(b"{}"));
    let Ok(answer) = subject.ask(Method::POST, path, &[(CONTENT_TYPE, "application/json")], body).await else { return };
    let flows = answer.json().and_then(|body| body["flows"].as_array().cloned()).unwrap_or_default();
    let free = |stage: &Value| stage == "m.login.dummy" || stage == "m.login.terms";
    let open = flows.iter().any(|flow| flow["stages"].as_array().is_some_and(|stages| stages.iter().all(free)));
    report.add(if open {
        Finding::warning(
            check,
            "anybody can make an account",
            "Whoever has one can write to everybody there and fill the disk; such servers end on block lists.",
            "Set `registration.mode` to \"token\" or \"closed\", unless this is meant.",
        )
    } else {
        Finding::fine(check, "strangers cannot make an account")
    });
}

/// Ids in paths are encoded, slashes among them; a proxy that decodes them makes another path of it.
async fn paths(subject: &Subject<'_>, report: &mut Report) {
    let path = "/_matrix/client/v3/directory/room/%23lethe%2Fdoctor%3Aexample.invalid";
    let Ok(answer) = subject.get(path).await else { return };
    report.add(if errcode(&answer).is_some_and(|code| code != "M_UNRECOGNIZED") {
        Finding::fine("external.paths", "paths arrive as they are sent")
    } else {
        Finding::error(
            "external.paths",
            "a path with an encoded slash does not arrive as it is sent",
            "Ids of rooms, events and keys hold such characters; requests with them fail.",
            "Let the proxy pass paths on unchanged. nginx: `proxy_pass http://host:port;` without anything behind; \
             Apache: AllowEncodedSlashes NoDecode and ProxyPass … nocanon.",
        )
    });
}

/// Promises an upload without a token: the server asks for the token, a proxy with a small limit refuses the size.
async fn uploads(subject: &Subject<'_>, report: &mut Report) {
    const SIZE: u64 = 50 << 20;
    let check = "external.uploads";
    let path = "/_matrix/media/v3/upload";
    let answer = subject.ask(Method::POST, path, &[(CONTENT_TYPE, "image/png")], Payload::Withheld(SIZE)).await;
    match answer.map(|answer| answer.status) {
        Ok(413) => report.add(Finding::warning(
            check,
            "uploads of 50 MiB are refused before they reach the server",
            "Lethe takes as much by default (`media.max_upload`); people see uploads fail without a reason.",
            "Raise the proxy's limit; nginx: `client_max_body_size 50m;`.",
        )),
        Ok(401) => report.add(Finding::fine(check, "uploads of 50 MiB are let through")),
        Ok(_) | Err(probe::Error::NotHttp) => report.add(Finding::advice(
            check,
            "whether uploads of 50 MiB are let through could not be seen",
            "A proxy's limit below `media.max_upload` makes uploads fail without a reason.",
            "Look at the proxy's limit on bodies.",
        )),
        Err(_) => report.add(Finding::warning(
            check,
            "an upload without a token gets no answer",
            "The proxy waits for the whole body before it asks the server.",
            "Turn request buffering off for uploads, so that nobody can fill the proxy's disk.",
        )),
    }
}
