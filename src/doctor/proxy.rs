//! What the proxy in front writes down: an access log undoes much of what Lethe does.

mod caddy;
mod lines;
mod nginx;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{Finding, Report};

/// Where distributions put the configurations of proxies.
const USUAL: &[&str] = &[
    "/etc/caddy/Caddyfile",
    "/etc/nginx/nginx.conf",
    "/etc/apache2/apache2.conf",
    "/etc/httpd/conf/httpd.conf",
    "/etc/haproxy/haproxy.cfg",
    "/etc/traefik/traefik.yml",
    "/etc/traefik/traefik.yaml",
    "/etc/traefik/traefik.toml",
];
/// Files of one configuration that are read; a machine with a thousand sites has that many.
const MOST_FILES: usize = 2000;
/// Blocks and files that stand in each other: real ones do four or five deep.
const MOST_DEPTH: usize = 32;
/// The largest file that is read, bytes.
const MOST_BYTES: u64 = 1 << 20;

const WHY: &str = "Its paths hold room, user and event ids: with addresses and times they say who talks to whom, when and \
                   from where. Nothing of that is in Lethe's own files.";

/// A line of a configuration.
#[derive(Clone, PartialEq, Eq)]
struct Line {
    file: PathBuf,
    /// From 1.
    number: usize,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.number)
    }
}

/// What a configuration says about logs.
#[derive(Default)]
struct Logs {
    /// Where accesses are logged.
    accesses: Vec<Line>,
    /// Accesses are logged because nothing says otherwise.
    by_default: bool,
    /// Failed requests are quoted in an error log.
    errors: bool,
    /// What turns both off.
    remedy: &'static str,
}

pub(super) fn examine(given: &[PathBuf], report: &mut Report) {
    let usual = || USUAL.iter().map(PathBuf::from).filter(|path| path.is_file()).collect();
    let paths: Vec<PathBuf> = if given.is_empty() { usual() } else { given.to_vec() };
    if paths.is_empty() {
        report.add(Finding::advice(
            "proxy.logs",
            "no proxy's configuration was found here",
            WHY,
            "If a proxy stands in front, name its configuration: `lethe doctor --proxy-config FILE`.",
        ));
    }
    for path in paths {
        examine_one(&path, report);
    }
}

fn examine_one(path: &Path, report: &mut Report) {
    let check = "proxy.logs";
    let shown = path.display();
    let Some(first) = read(path).or_else(|| read_directory(path)) else {
        let fix = "Run the doctor as a user who may, or name the right file.";
        report.add(Finding::warning(check, format!("{shown} cannot be read"), WHY, fix));
        return;
    };
    let logs = match kind(path, &first) {
        Some(Kind::Caddy) => caddy::logs(path),
        Some(Kind::Nginx) => nginx::logs(path),
        Some(Kind::Lines(kind)) => lines::logs(path, kind),
        None => {
            let fix = "See to it yourself that it has no access log, and that its error log quotes no requests.";
            report.add(Finding::advice(check, format!("{shown} is of a proxy the doctor does not know"), WHY, fix));
            return;
        }
    };
    for line in &logs.accesses {
        let what = format!("the proxy logs accesses: {line}: {}", line.text);
        report.add(Finding::error(check, what, WHY, logs.remedy));
    }
    if logs.by_default {
        let what = format!("the proxy logs accesses, as nothing in {shown} says otherwise");
        report.add(Finding::error(check, what, WHY, logs.remedy));
    }
    if logs.errors {
        report.add(Finding::warning(
            "proxy.error-log",
            format!("the proxy quotes requests that fail in its error log ({shown})"),
            WHY,
            logs.remedy,
        ));
    }
    if logs.accesses.is_empty() && !logs.by_default {
        report.add(Finding::fine(check, format!("{shown} has no access log")));
    }
}

enum Kind {
    Caddy,
    Nginx,
    Lines(lines::Kind),
}

/// Whose configuration it is, by its name and its words.
fn kind(path: &Path, text: &str) -> Option<Kind> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if name.contains("caddy") || (says(&["reverse_proxy "]) && !says(&[";"])) {
        Some(Kind::Caddy)
    } else if name.contains("nginx") || says(&["proxy_pass ", "access_log "]) {
        Some(Kind::Nginx)
    } else if name.contains("apache") || name.contains("httpd") || says(&["<VirtualHost", "ProxyPass "]) {
        Some(Kind::Lines(lines::Kind::Apache))
    } else if name.contains("haproxy") || (says(&["frontend "]) && says(&["backend "])) {
        Some(Kind::Lines(lines::Kind::Haproxy))
    } else if name.contains("traefik") || says(&["entryPoints"]) {
        Some(Kind::Lines(lines::Kind::Traefik))
    } else {
        None
    }
}

/// A file of reasonable size, as text.
fn read(path: &Path) -> Option<String> {
    let small = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MOST_BYTES);
    small.then(|| fs::read(path).ok()).flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of every file in a directory, to see whose they are.
fn read_directory(path: &Path) -> Option<String> {
    let files = expand(&path.join("*"));
    let texts: Vec<String> = files.iter().filter_map(|file| read(file)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// The files that `pattern` stands for: itself, or those its last part matches when that has stars. A directory stands
/// for its files.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    if pattern.is_file() {
        return vec![pattern.to_owned()];
    }
    let pattern = if pattern.is_dir() { pattern.join("*") } else { pattern.to_owned() };
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else { return Vec::new() };
    let name = name.to_string_lossy().into_owned();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| matches(&name, &entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .take(MOST_FILES)
        .collect();
    files.sort();
    files
}

/// Whether `name` is what `pattern`, in which `*` stands for anything, stands for.
fn matches(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests;
