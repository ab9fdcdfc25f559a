//! What the configuration allows and an administrator may regret.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Finding, Report};
use crate::{
    config::{Config, Durability, Level, Network, RegistrationMode},
    probe::Place,
};

pub(super) fn examine(config: &Config, file: Option<&Path>, report: &mut Report) {
    let read =
        file.map_or_else(|| "no file, only defaults and variables".to_owned(), |file| file.display().to_string());
    report.add(Finding::fine("config.valid", format!("the configuration is valid ({read})")));
    name(config, report);
    listeners(config, report);
    base_url(config, report);
    registration(config, report);
    secrets(config, file, report);
    choices(config, report);
}

fn name(config: &Config, report: &mut Report) {
    if config.server.name == "localhost" {
        report.add(Finding::warning(
            "config.name",
            "the server is called localhost",
            "The name is part of every user id and can never be changed.",
            "Set `server.name` to your domain before the first account is made.",
        ));
    } else {
        report.add(Finding::fine("config.name", format!("the server is called {}", config.server.name)));
    }
}

fn listeners(config: &Config, report: &mut Report) {
    let server = &config.server;
    // With listeners for TLS, the others go without.
    let plain = server.tls_key.is_none() || !server.listen_tls.is_empty();
    match server.listen.iter().find(|address| plain && !address.ip().is_loopback()) {
        Some(address) if in_container() => report.add(Finding::advice(
            "config.listen",
            format!("it listens on {address} without TLS"),
            "In a container this is usual: a proxy in the same network of containers comes before it.",
            "Publish the port to nobody but the proxy.",
        )),
        Some(address) => report.add(Finding::warning(
            "config.listen",
            format!("it listens on {address} without TLS"),
            "Passwords and tokens cross the network as they are, and whoever hears a token opens its account.",
            "Listen on 127.0.0.1 with a proxy in front, or set `server.tls_certificate` and `server.tls_key`.",
        )),
        None => report.add(Finding::fine("config.listen", "nothing is listened to without TLS from outside")),
    }
    let foreign = |network: &Network| !network.0.addr().is_loopback();
    if plain
        && server.listen.iter().any(|address| !address.ip().is_loopback())
        && !server.trusted_proxies.iter().any(foreign)
    {
        report.add(Finding::advice(
            "config.trusted-proxies",
            "only proxies on this machine are trusted to say whom a request comes from",
            "Behind any other proxy all people share one address, and the limits meant for one.",
            "Set `server.trusted_proxies` to the proxy's address or network.",
        ));
    }
    if let Some(address) = config.metrics.listen.filter(|address| !address.ip().is_loopback() && !in_container()) {
        report.add(Finding::warning(
            "config.metrics",
            format!("figures for monitoring are served on {address} to whoever asks"),
            "They say how many people use the server in which hour.",
            "Set `metrics.listen` to an address that only your monitoring reaches.",
        ));
    }
}

fn base_url(config: &Config, report: &mut Report) {
    let check = "config.base-url";
    let url = config.well_known.client.as_ref().or(config.server.base_url.as_ref());
    let Some(url) = url else {
        if config.server.name != "localhost" {
            report.add(Finding::advice(
                check,
                "`server.base_url` is not set",
                "Clients that know only the server's name ask it for this address.",
                "Set it to the address clients use, such as https://matrix.example.org.",
            ));
        }
        return;
    };
    match Place::of_url(url) {
        Some(Place::Tcp { tls: true, host, .. }) if host == config.server.name.host() => {
            report.add(Finding::fine(check, "clients find the server under its own name"));
        }
        Some(Place::Tcp { tls: true, .. }) => report.add(Finding::advice(
            check,
            format!("clients reach the server at {url}, another host than its name"),
            "They learn that address from /.well-known/matrix/client at the server's name.",
            format!(
                "See to it that https://{}/.well-known/matrix/client leads here; `lethe doctor --external https://{}` looks.",
                config.server.name.host(),
                config.server.name.host()
            ),
        )),
        _ => report.add(Finding::warning(
            check,
            "the address clients are sent to is not an https:// URL",
            "Clients refuse it, or send passwords and tokens in the clear.",
            "Set `server.base_url`, or `well_known.client`, to an https:// URL.",
        )),
    }
}

fn registration(config: &Config, report: &mut Report) {
    if config.registration.mode == RegistrationMode::Open {
        report.add(Finding::warning(
            "config.registration",
            "anybody can make an account",
            "Whoever has one can write to everybody here and fill the disk; such servers end on block lists.",
            "Set `registration.mode` to \"token\", and hand out tokens (`lethe token create`).",
        ));
    } else {
        report.add(Finding::fine("config.registration", "accounts need a token or the administrator"));
    }
    if config.registration.shared_secret.is_some() {
        report.add(Finding::advice(
            "config.shared-secret",
            "accounts can be made with a shared secret at /_synapse/admin/v1/register",
            "Whoever learns the secret makes accounts.",
            "Let your proxy refuse /_synapse/ from outside, and remove the secret when it is not needed.",
        ));
    }
}

/// Files with secrets that others on this machine can read.
fn secrets(config: &Config, file: Option<&Path>, report: &mut Report) {
    let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let inline = text.parse::<toml::Table>().is_ok_and(|table| holds_secret(&table));
    let files = [
        file.filter(|_| inline).map(Path::to_owned),
        config.server.tls_key.clone(),
        config.registration.tokens_file.clone(),
        config.registration.shared_secret_file.clone(),
        config.turn.secret_file.clone(),
    ];
    let exposed: Vec<PathBuf> = files.into_iter().flatten().filter(|path| is_exposed(path)).collect();
    for path in &exposed {
        report.add(Finding::error(
            "config.secrets",
            format!("{} holds a secret, and every user of this machine can read it", path.display()),
            "A secret that others can read is none.",
            format!("chmod o= {}", path.display()),
        ));
    }
    if exposed.is_empty() {
        report.add(Finding::fine("config.secrets", "no file with a secret is readable by everybody"));
    }
}

fn holds_secret(table: &toml::Table) -> bool {
    [("registration", "shared_secret"), ("turn", "secret")]
        .iter()
        .any(|(section, key)| table.get(*section).is_some_and(|section| section.get(key).is_some()))
}

fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

fn choices(config: &Config, report: &mut Report) {
    if config.accounts.password_guesses_log10 < 10 {
        report.add(Finding::warning(
            "config.passwords",
            format!("passwords of 10^{} guesses are taken", config.accounts.password_guesses_log10),
            "A password is all that stands between a seized disk and its account; each guess costs a tenth of a second \
             of one core.",
            "Leave `accounts.password_guesses_log10` at 10; `lethe user add` proposes passphrases.",
        ));
    }
    if config.storage.durability == Durability::Relaxed {
        report.add(Finding::advice(
            "config.durability",
            "a power cut may lose the last second of what clients were told is done",
            "Clients do not send it again.",
            "Set `storage.durability` to \"synced\" unless the disk cannot bear it.",
        ));
    }
    if config.log.level == Level::Debug {
        report.add(Finding::advice(
            "config.log",
            "debug lines are logged",
            "They name nobody, but their number follows what clients do.",
            "Set `log.level` to \"info\" when you have seen what you were looking for.",
        ));
    }
    if config.metrics.log {
        report.add(Finding::advice(
            "config.metrics-log",
            "hourly request counts are written to the log",
            "Whoever takes the log learns how busy the server was in which hour.",
            "Set `metrics.log` to false unless you need it.",
        ));
    }
}

/// Whether this process runs in a container.
pub(super) fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|marker| Path::new(marker).exists())
}
