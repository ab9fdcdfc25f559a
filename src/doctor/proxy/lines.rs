//! Proxies whose logs can be told line by line: Apache, HAProxy, Traefik.

use std::path::{Path, PathBuf};

use super::{Line, Logs, MOST_FILES, expand, read};

/// Whose configuration it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Apache,
    Haproxy,
    Traefik,
}

impl Kind {
    fn remedy(self) -> &'static str {
        match self {
            Self::Apache => {
                "In Apache: no CustomLog in or around the virtual host in front of Lethe, and `LogLevel crit`."
            }
            Self::Haproxy => "In HAProxy: no `log` in the frontend in front of Lethe nor in `defaults`.",
            Self::Traefik => "In Traefik: no `accessLog`.",
        }
    }

    /// Whether a line of it turns an access log on.
    fn logs(self, line: &str) -> bool {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        match self {
            Self::Apache => {
                let names = ["customlog", "transferlog", "globallog"];
                names.contains(&first.to_ascii_lowercase().as_str())
                    && words.next().is_some_and(|to| to.trim_matches('"') != "/dev/null")
            }
            Self::Haproxy => first == "log",
            Self::Traefik => {
                let key = first.trim_matches(['[', ']', ':', '"']);
                key.eq_ignore_ascii_case("accesslog") && !line.ends_with("false")
            }
        }
    }
}

pub(super) fn logs(path: &Path, kind: Kind) -> Logs {
    let mut logs = Logs { remedy: kind.remedy(), ..Logs::default() };
    let mut files: Vec<PathBuf> = expand(path);
    let base = path.parent().unwrap_or(Path::new(".")).to_owned();
    let (mut at, mut level) = (0, None);
    while let Some(file) = files.get(at).cloned().filter(|_| at < MOST_FILES) {
        at += 1;
        for (index, line) in read(&file).unwrap_or_default().lines().enumerate() {
            let text = line.trim();
            if text.starts_with('#') {
                continue;
            }
            if kind.logs(text) {
                logs.accesses.push(Line { file: file.clone(), number: index + 1, text: text.to_owned() });
            }
            let mut words = text.split_whitespace();
            match (kind, words.next().unwrap_or_default().to_ascii_lowercase().as_str(), words.next()) {
                (Kind::Apache, "include" | "includeoptional", Some(what)) => {
                    let found = expand(&base.join(what.trim_matches('"')));
                    files.extend(found.into_iter().filter(|path| !files.contains(path)).collect::<Vec<_>>());
                }
                (Kind::Apache, "loglevel", Some(chosen)) => level = Some(chosen.to_owned()),
                _ => {}
            }
        }
    }
    logs.errors =
        kind == Kind::Apache && !level.is_some_and(|level| ["crit", "alert", "emerg"].contains(&level.as_str()));
    logs
}
