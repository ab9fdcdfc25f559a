//! A server as its clients see it: `lethe doctor --external URL`, best from another machine.
//!
//! Asks only what a client without an account may ask, and changes nothing there.

mod api;
mod edges;
mod well_known;

use axum::http::{HeaderName, HeaderValue, Method, Request};
use bytes::Bytes;

use super::{Finding, Report, tls};
use crate::{
    clock::Clock,
    probe::{self, Answer, Payload, Place, certificate::Roots},
};

/// How far the server's clock and this one may be apart: event times are rounded to 10 s.
const MAX_SKEW_MS: u64 = 60_000;

/// The server that is looked at.
struct Subject<'a> {
    place: Place,
    /// The host, for people.
    host: String,
    /// What stands before `/_matrix` in paths; usually nothing.
    prefix: String,
    roots: &'a Roots,
}

impl<'a> Subject<'a> {
    fn new(url: &str, roots: &'a Roots) -> Option<Self> {
        let place = Place::of_url(url)?;
        let Place::Tcp { host, .. } = &place else { return None };
        let path = url.split_once("://")?.1.split_once('/').map_or("", |(_, path)| path);
        let path = path.split(['?', '#']).next()?.trim_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Some(Self { host: host.clone(), place, prefix, roots })
    }

    async fn get(&self, path: &str) -> Result<Answer, probe::Error> {
        self.ask(Method::GET, path, &[], Payload::Whole(Bytes::new())).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &'static str)],
        payload: Payload,
    ) -> Result<Answer, probe::Error> {
        let mut request = Request::new(payload);
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.prefix).parse().map_err(|_| probe::Error::NotHttp)?;
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
        }
        probe::exchange(&self.place, request, self.roots).await
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.place, Place::Tcp { tls: true, .. })
    }
}

/// Looks at the server that clients reach at `url`: its own address, or the name in its user ids.
pub async fn examine(url: &str, roots: &Roots, clock: &dyn Clock) -> Report {
    let mut report = Report::default();
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let Some(named) = Subject::new(&url, roots) else {
        report.add(Finding::error(
            "external.url",
            "this is not an http:// or https:// URL",
            "Nothing can be looked at.",
            "Name the server as its clients do: https://example.org",
        ));
        return report;
    };
    let base = well_known::examine(&named, &mut report).await;
    let subject = match &base {
        Some(base) => Subject::new(base, roots).unwrap_or(named),
        None => named,
    };
    match subject.get("/_matrix/client/versions").await {
        Ok(answer) => {
            encryption(&subject, &answer, clock, &mut report);
            if api::versions(&subject, &answer, &mut report) {
                api::examine(&subject, &mut report).await;
                edges::examine(&subject, &answer, &mut report).await;
            }
        }
        Err(error) => report.add(unreachable(&subject, error)),
    }
    report
}

fn unreachable(subject: &Subject<'_>, error: probe::Error) -> Finding {
    Finding::error(
        "external.reach",
        format!("{}: {error}", subject.host),
        "No client can use the server.",
        "Look at the name's DNS records, the firewall, and whether the proxy runs.",
    )
}

fn encryption(subject: &Subject<'_>, answer: &Answer, clock: &dyn Clock, report: &mut Report) {
    match &answer.certificate {
        Some(examined) => report.add(tls::judge("external.tls", &subject.host, examined, clock.now())),
        None => report.add(Finding::error(
            "external.tls",
            format!("{} is reached without TLS", subject.host),
            "Passwords and tokens cross the network as they are.",
            "Serve it under https:// only.",
        )),
    }
    let theirs = answer.header("date").and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    let theirs = theirs.and_then(|date| u64::try_from(date.timestamp_millis()).ok());
    if theirs.is_some_and(|theirs| theirs.abs_diff(clock.now().0) > MAX_SKEW_MS) {
        report.add(Finding::warning(
            "external.clock",
            "the server's clock and this machine's are more than a minute apart",
            "Times in messages are the server's clock, and so is the time at which things are forgotten.",
            "See which is wrong, and let systemd-timesyncd or chrony keep it.",
        ));
    }
}

/// What of the headers for browsers is wrong; nothing when all is well.
fn cors_flaw(answer: &Answer) -> Option<&'static str> {
    let name = "access-control-allow-origin";
    match answer.header(name) {
        Some("*") => None,
        _ if answer.headers.get_all(name).iter().count() > 1 => Some("Access-Control-Allow-Origin is there twice"),
        _ => Some("Access-Control-Allow-Origin is not *"),
    }
}

/// The answer's Matrix error code.
fn errcode(answer: &Answer) -> Option<String> {
    answer.json()?.get("errcode")?.as_str().map(str::to_owned)
}
