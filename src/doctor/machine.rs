//! The machine: memory that reaches disks, limits, its name, its clock.

use std::{fs, path::PathBuf};

use tokio::net::UnixStream;

use super::{Finding, Report, settings::in_container};
use crate::{
    admin,
    clock::{Clock, SystemClock},
    config::Config,
    ground::process,
};

/// Files that are open beside connections: the databases' and what else a process has.
const OTHER_FILES: u64 = 1024;
/// Names that say nothing about where the server stood.
const NEUTRAL: &[&str] = &["lethe", "localhost", "matrix", "server", "host", "debian", "linux", "vm", "container"];

pub(super) async fn examine(config: &Config, report: &mut Report) {
    swap(report);
    report.add(core_dumps());
    report.add(host_name(&process::host_name(), config.server.name.host()));
    clock(report);
    let running = running(config).await;
    report.add(match running {
        Some(_) => Finding::fine("server.running", "the server is running"),
        None => Finding::advice(
            "server.running",
            "no server is running with this configuration, or it belongs to another user",
            "What only a running server shows was not looked at.",
            "Start it, and run the doctor as its user.",
        ),
    });
    if running.is_some() {
        report.add(forgetting(config).await);
    }
    if let Some(limit) = running.and_then(process::open_files) {
        report.add(open_files(limit, u64::from(config.limits.connections)));
    }
}

fn swap(report: &mut Report) {
    let exposed: Vec<String> =
        process::swaps().into_iter().filter(|swap| !swap.harmless).map(|swap| swap.name).collect();
    report.add(if exposed.is_empty() {
        Finding::fine("machine.swap", "memory is not written to a disk")
    } else {
        Finding::warning(
            "machine.swap",
            format!("memory may be written to {}", exposed.join(", ")),
            "Keys of open accounts live in memory; on a disk they outlive the power.",
            "Turn swap off, use zram, encrypt it with a key made at each boot, or forbid it to the server \
             (MemorySwapMax=0 in its unit).",
        )
    });
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let resume = read("/sys/power/resume");
    if read("/sys/power/state").contains("disk") && !["", "0:0"].contains(&resume.trim()) {
        report.add(Finding::warning(
            "machine.hibernation",
            "the machine can hibernate",
            "Hibernation writes all memory to a disk, keys of open accounts included.",
            "Forbid it: systemctl mask hibernate.target hybrid-sleep.target",
        ));
    }
}

/// The server turns them off for itself; what is left is a handler that runs before anybody can.
fn core_dumps() -> Finding {
    let handler = process::core_handler();
    let handled = handler.map(|program| format!("; {program} gets none of it")).unwrap_or_default();
    Finding::fine("machine.core-dumps", format!("the server turns its core dumps off at start{handled}"))
}

fn host_name(host: &str, server: &str) -> Finding {
    let check = "machine.host-name";
    let container = host.len() == 12 && host.bytes().all(|byte| byte.is_ascii_hexdigit());
    if container || NEUTRAL.contains(&host.to_ascii_lowercase().as_str()) {
        return Finding::fine(check, format!("the host is called {host}, which says nothing"));
    }
    let why = "The database writes the host's name into its files: a copy or backup of them says where they come from.";
    let fix = "Give the server a neutral one: `hostname: lethe` for a container, \
               PrivateUTS or `hostnamectl hostname lethe` otherwise.";
    let labels = |name: &str| name.split('.').filter(|label| label.len() > 3).map(str::to_owned).collect::<Vec<_>>();
    if labels(server).iter().any(|label| labels(host).contains(label)) {
        Finding::warning(check, format!("the host is called {host}, like the server"), why, fix)
    } else {
        Finding::advice(check, format!("the host is called {host}"), why, fix)
    }
}

fn clock(report: &mut Report) {
    let check = "machine.clock";
    report.add(match SystemClock::new().is_synchronised() {
        Some(true) => Finding::fine(check, "the clock is synchronised"),
        Some(false) => Finding::warning(
            check,
            "the clock is not synchronised",
            "Times in messages are this clock's, and so is the time at which things are forgotten.",
            "Run systemd-timesyncd or chrony.",
        ),
        None => Finding::advice(
            check,
            "whether the clock is synchronised cannot be seen from here",
            "Times in messages are this clock's, and so is the time at which things are forgotten.",
            if in_container() { "Run `timedatectl` on the host." } else { "Run systemd-timesyncd or chrony." },
        ),
    });
}

/// The process behind the administrator's socket.
async fn running(config: &Config) -> Option<u32> {
    let path: PathBuf = admin::socket_path(config);
    let stream = UnixStream::connect(path).await.ok()?;
    u32::try_from(stream.peer_cred().ok()?.pid()?).ok()
}

/// Whether what has expired is destroyed in time, as the running server says.
async fn forgetting(config: &Config) -> Finding {
    let asked = config.clone();
    let answer = tokio::task::spawn_blocking(move || admin::ask(&asked, &admin::Request::RetentionState)).await;
    let Ok(Ok(admin::Answer::Done { data, .. })) = answer else {
        let why = "Whether it destroys what has expired is not known.";
        return Finding::advice(
            "server.forgetting",
            "the server did not say how far forgetting has got",
            why,
            "Ask again.",
        );
    };
    judged(data["clock_trusted"] == true, data["overdue_seconds"].as_u64().unwrap_or(0))
}

fn judged(trusted: bool, overdue: u64) -> Finding {
    let check = "server.forgetting";
    match (trusted, overdue) {
        (true, 0) => Finding::fine(check, "what has expired is destroyed in time"),
        (true, _) => Finding::error(
            check,
            format!("an objective of forgetting is missed by {overdue} seconds"),
            "What has expired lies on the disk with its key, or its files do.",
            "Look for the reason in the server's log, and at the disk.",
        ),
        (false, 0) => Finding::advice(
            check,
            "the server does not know yet whether the clock is right, and destroys nothing until it does",
            "A wrong clock must not destroy a server.",
            "Nothing has expired yet. Let a time daemon set the clock, or see doc/operations.md, \"The clock\".",
        ),
        (false, _) => Finding::warning(
            check,
            format!("what has expired waits, {overdue} seconds too long, because the clock is not known to be right"),
            "A wrong clock must not destroy a server. Until then keys of what has expired lie on the disk.",
            "Let a time daemon set the clock; or compare it with another one and run `lethe retention confirm-clock`; \
             or wait until it has run for a day.",
        ),
    }
}

fn open_files(limit: u64, connections: u64) -> Finding {
    let check = "server.open-files";
    let needed = connections + OTHER_FILES;
    if limit >= needed {
        return Finding::fine(check, format!("the server may open {limit} files"));
    }
    Finding::warning(
        check,
        format!("the server may open {limit} files, and {connections} connections need about {needed}"),
        "When they run out, nobody can connect any more.",
        format!(
            "Set LimitNOFILE={needed} in its unit (`ulimits: nofile` for a container), or lower `limits.connections`."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    #[test]
    fn host_names_are_judged() {
        for (host, severity) in [
            ("lethe", Severity::Fine),
            ("0a1b2c3d4e5f", Severity::Fine),
            ("blue-box", Severity::Advice),
            ("example", Severity::Warning),
            ("mx1.example.org", Severity::Warning),
        ] {
            assert_eq!(host_name(host, "example.org").severity, severity, "{host}");
        }
    }

    #[test]
    fn forgetting_is_judged() {
        for (trusted, overdue, severity) in [
            (true, 0, Severity::Fine),
            (false, 0, Severity::Advice),
            (false, 1, Severity::Warning),
            (true, 1, Severity::Error),
        ] {
            assert_eq!(judged(trusted, overdue).severity, severity);
        }
    }

    #[test]
    fn files_for_all_connections() {
        assert_eq!(open_files(1024, 4096).severity, Severity::Warning);
        assert_eq!(open_files(65536, 4096).severity, Severity::Fine);
    }
}
