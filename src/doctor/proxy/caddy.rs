//! Caddy: accesses are logged where a site says `log`; its error logger quotes failed requests unless excluded.

use std::path::Path;

use super::{Line, Logs, MOST_DEPTH, MOST_FILES, expand, read};

const REMEDY: &str = "In Caddy: no `log` in the site, and in the global options a logger `log default` with \
                      `exclude http.log.access http.log.error http.handlers.reverse_proxy`.";

pub(super) fn logs(path: &Path) -> Logs {
    let mut logs = Logs { errors: true, remedy: REMEDY, ..Logs::default() };
    let mut left = MOST_FILES;
    for file in expand(path) {
        read_file(&file, &mut left, MOST_DEPTH, &mut logs);
    }
    logs
}

/// Reads a file and what it imports: `left` more files, `deep` of them in each other.
fn read_file(path: &Path, left: &mut usize, deep: usize, logs: &mut Logs) {
    let (Some(rest), Some(deeper)) = (left.checked_sub(1), deep.checked_sub(1)) else { return };
    *left = rest;
    let (mut depth, mut global) = (0_usize, false);
    for (index, line) in read(path).unwrap_or_default().lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if line.starts_with('#') || first.is_empty() {
            continue;
        }
        let opens = line.ends_with('{') && (line.len() == 1 || line.ends_with(" {"));
        if depth == 0 && opens {
            global = line == "{";
        }
        if global {
            logs.errors &= !(first == "exclude" && words.any(|name| name == "http.log.error"));
        } else if depth > 0 && first == "log" {
            logs.accesses.push(Line { file: path.to_owned(), number: index + 1, text: line.to_owned() });
        } else if first == "import" {
            let base = path.parent().unwrap_or(Path::new("."));
            for file in words.next().map(|what| expand(&base.join(what))).unwrap_or_default() {
                read_file(&file, left, deeper, logs);
            }
        }
        if opens {
            depth += 1;
        } else if line == "}" {
            depth = depth.saturating_sub(1);
        }
    }
}
