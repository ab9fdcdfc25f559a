//! What should not be seen from outside, and what answers say about the machine.

use super::{Answer, Finding, Place, Report, Subject};

pub(super) async fn examine(subject: &Subject<'_>, versions: &Answer, report: &mut Report) {
    closed(subject, report).await;
    headers(subject, versions, report);
    in_the_clear(subject, report).await;
}

/// Paths for administrators and monitoring.
async fn closed(subject: &Subject<'_>, report: &mut Report) {
    let check = "external.closed";
    let mut open = false;
    for (path, what, why) in [
        (
            "/_synapse/admin/v1/register",
            "accounts can be made with the shared secret from outside",
            "Whoever learns the secret makes accounts.",
        ),
        ("/metrics", "figures for monitoring can be read from outside", "They say how many people use the server."),
    ] {
        if subject.get(path).await.is_ok_and(|answer| answer.status == 200) {
            open = true;
            let fix = format!("Let the proxy refuse {path}, or answer it to your own addresses only.");
            report.add(Finding::warning(check, what, why, fix));
        }
    }
    if !open {
        report.add(Finding::fine(check, "nothing for administrators answers strangers"));
    }
}

fn headers(subject: &Subject<'_>, versions: &Answer, report: &mut Report) {
    let check = "external.headers";
    let before = report.findings().len();
    for name in ["server", "via", "x-powered-by"] {
        if let Some(value) = versions.headers.get(name).and_then(|value| value.to_str().ok()) {
            report.add(Finding::advice(
                check,
                format!("answers say what runs there: {name}: {value}"),
                "Whoever looks for servers with a known hole finds this one.",
                "Let the proxy leave the header out.",
            ));
        }
    }
    if subject.is_encrypted() && versions.header("strict-transport-security").is_none() {
        report.add(Finding::advice(
            check,
            "browsers are not told to come by https:// only",
            "The first request of a visit can be led astray.",
            "Send Strict-Transport-Security: max-age=31536000.",
        ));
    }
    if !versions.header("cache-control").is_some_and(|value| value.contains("no-store")) {
        report.add(Finding::warning(
            check,
            "Lethe's Cache-Control: no-store does not arrive",
            "Answers may be kept on the way, or on a disk of the client.",
            "Let the proxy leave Cache-Control as it is.",
        ));
    }
    if report.findings().len() == before {
        report.add(Finding::fine(check, "headers say nothing about the machine"));
    }
}

/// Whether the API also answers without TLS on the usual port.
async fn in_the_clear(subject: &Subject<'_>, report: &mut Report) {
    if !subject.is_encrypted() {
        return;
    }
    let place = Place::Tcp { host: subject.host.clone(), port: 80, tls: false };
    let plain = Subject { place, host: subject.host.clone(), prefix: subject.prefix.clone(), roots: subject.roots };
    let answers = plain.get("/_matrix/client/versions").await.is_ok_and(|answer| answer.status == 200);
    report.add(if answers {
        Finding::warning(
            "external.plain",
            "the API also answers without TLS, on port 80",
            "A client with a wrong URL sends its password and token in the clear, and nobody notices.",
            "Let port 80 redirect to https:// or refuse.",
        )
    } else {
        Finding::fine("external.plain", "the API does not answer without TLS on port 80")
    });
}
