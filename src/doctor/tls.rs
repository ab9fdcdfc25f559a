//! The server's own certificate.

use super::{Finding, Report};
use crate::{
    clock::Timestamp,
    config::Config,
    probe::{
        Place,
        certificate::{Examined, Flaw, examine_file},
    },
};

/// Days before its end at which a certificate should have been renewed: Let's Encrypt's are, at 30.
const SOON: u64 = 14;

pub(super) fn examine(config: &Config, now: Timestamp, report: &mut Report) {
    let (Some(certificate), Some(key)) = (&config.server.tls_certificate, &config.server.tls_key) else {
        report.add(Finding::advice(
            "tls.certificate",
            "the server itself speaks no TLS",
            "A proxy has to, and what it is worth is seen from outside only.",
            "Run `lethe doctor --external https://YOUR-SERVER`, best from another machine.",
        ));
        return;
    };
    if !crate::server::tls_is_usable(certificate, key) {
        report.add(Finding::error(
            "tls.key",
            "the certificate or its key cannot be read, or they do not belong together",
            "The server does not start with them.",
            "Set `server.tls_certificate` to the whole chain and `server.tls_key` to its key, readable by the server.",
        ));
        return;
    }
    let base = config.server.base_url.as_deref().and_then(Place::of_url);
    let host = match &base {
        Some(Place::Tcp { host, .. }) => host.as_str(),
        _ => config.server.name.host(),
    };
    report.add(judge("tls.certificate", host, &examine_file(certificate, host, now), now));
}

/// What a certificate that was examined means for `host`.
pub(super) fn judge(check: &'static str, host: &str, examined: &Examined, now: Timestamp) -> Finding {
    let days = examined.expires.map(|end| end.since(now).as_secs() / 86_400);
    let (what, fix) = match (examined.flaw, days) {
        (Some(Flaw::Expired), _) => ("has expired", "Renew it, and see why its renewal did not happen by itself."),
        (Some(Flaw::NotYetValid), _) => ("is not valid yet", "Set this machine's clock right, or wait."),
        (Some(Flaw::WrongName), _) => ("was made for another name", "Get a certificate that has this name."),
        (Some(Flaw::UnknownIssuer), _) => (
            "is signed by nobody that clients know, or the chain lacks a certificate between",
            "Serve the full chain of a certificate that a public authority signed.",
        ),
        (Some(Flaw::Unusable), _) => ("cannot be used", "Get another one."),
        (None, Some(days)) if days < SOON => {
            return Finding::warning(
                check,
                format!("the certificate for {host} ends in {days} days"),
                "Then no client connects any more.",
                "Renew it; it should have been renewed by itself.",
            );
        }
        (None, days) => {
            let left = days.map(|days| format!(", for {days} more days")).unwrap_or_default();
            return Finding::fine(check, format!("the certificate for {host} is good{left}"));
        }
    };
    Finding::error(check, format!("the certificate for {host} {what}"), "Clients refuse to connect.", fix)
}
