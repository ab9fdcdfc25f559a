//! Memory that may reach a disk, limits, the host's name and its clock.

use std::{fs, path::Path};

use super::disk::Disk;

/// A place memory may be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// A device or a file.
    pub name: String,
    /// Whether it stays in memory (zram), or is encrypted.
    pub harmless: bool,
}

/// The swap this process may be written to.
#[must_use]
pub fn swaps() -> Vec<Swap> {
    // A container may have none of its own.
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.swap.max").unwrap_or_default();
    if limit.trim() == "0" {
        return Vec::new();
    }
    parse_swaps(&fs::read_to_string("/proc/swaps").unwrap_or_default(), |name| {
        name.starts_with("/dev/zram") || Disk::of_source(Path::new("/sys"), name).is_some_and(|disk| disk.encrypted)
    })
}

fn parse_swaps(text: &str, harmless: impl Fn(&str) -> bool) -> Vec<Swap> {
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    names.map(|name| Swap { name: name.to_owned(), harmless: harmless(name) }).collect()
}

/// The program that core dumps of the machine are handed to, if any.
#[must_use]
pub fn core_handler() -> Option<String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    pattern.strip_prefix('|').map(|program| program.split_whitespace().next().unwrap_or_default().to_owned())
}

/// How many files the process `pid` may open.
#[must_use]
pub fn open_files(pid: u32) -> Option<u64> {
    parse_limit(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

fn parse_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The host's name, as RocksDB writes it into its files.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_are_read() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zram0   partition\t1\t0\t100\n/swap\tfile\t9\t0\t-2\n";
        let found = parse_swaps(text, |name| name.starts_with("/dev/zram"));
        let swap = |name: &str, harmless| Swap { name: name.to_owned(), harmless };
        assert_eq!(found, [swap("/dev/zram0", true), swap("/swap", false)]);
        assert_eq!(parse_swaps("Filename Type Size Used Priority\n", |_| true), []);
    }

    #[test]
    fn limits_are_read() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax processes 1 2 processes\nMax open files            1024                 4096                 files\n";
        assert_eq!(parse_limit(text), Some(1024));
        assert!(open_files(std::process::id()).is_some());
    }
}
