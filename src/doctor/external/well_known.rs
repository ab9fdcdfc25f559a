//! How clients find the server from its name
//! ([spec](https://spec.matrix.org/latest/client-server-api/#well-known-uris)).

use super::{Finding, Report, Subject, cors_flaw};

const CHECK: &str = "external.well-known";

/// Looks for the file that sends clients to the server; the URL it names, if there is one.
pub(super) async fn examine(subject: &Subject<'_>, report: &mut Report) -> Option<String> {
    let host = &subject.host;
    let answer = subject.get("/.well-known/matrix/client").await.ok()?;
    if answer.status != 200 {
        report.add(Finding::advice(
            CHECK,
            format!("{host} has no /.well-known/matrix/client"),
            "That is well if user ids end in this very host. If they end in another name, clients find the server only \
             if that name has the file.",
            "Look at the name in user ids: `lethe doctor --external https://NAME`.",
        ));
        return None;
    }
    let base = answer.json().and_then(|file| file["m.homeserver"]["base_url"].as_str().map(str::to_owned));
    let Some(base) = base else {
        report.add(Finding::error(
            CHECK,
            format!("/.well-known/matrix/client at {host} does not say where the server is"),
            "Clients give up when they find such a file.",
            "Serve {\"m.homeserver\": {\"base_url\": \"https://…\"}} there; Lethe does when `server.base_url` is set.",
        ));
        return None;
    };
    if let Some(flaw) = cors_flaw(&answer) {
        report.add(Finding::error(
            CHECK,
            format!("/.well-known/matrix/client at {host}: {flaw}"),
            "Clients in browsers cannot read it.",
            "Send the header Access-Control-Allow-Origin: * with it, once.",
        ));
    } else if Subject::new(&base, subject.roots).is_none_or(|named| !named.is_encrypted() && subject.is_encrypted()) {
        report.add(Finding::error(
            CHECK,
            format!("/.well-known/matrix/client at {host} does not lead to an https:// URL"),
            "Clients refuse it, or send passwords and tokens in the clear.",
            "Set `server.base_url` to an https:// URL.",
        ));
    } else {
        report.add(Finding::fine(CHECK, format!("{host} sends clients to {base}")));
    }
    Some(base)
}
