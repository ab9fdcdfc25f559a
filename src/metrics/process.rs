//! What the process uses, as the kernel says.

use std::{fs, path::Path, time::Duration};

/// What the process has used and what is left. Whatever cannot be read is zero.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    /// Processor time since the start.
    pub(super) cpu: Duration,
    /// Memory now, bytes.
    pub(super) resident: u64,
    /// Space free for data, bytes.
    pub(super) free: u64,
}

pub(super) fn usage(data: &Path) -> Usage {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
    let free = rustix::fs::statvfs(data).map_or(0, |space| space.f_bavail.saturating_mul(space.f_frsize));
    let page = rustix::param::page_size() as u64;
    let resident = second_number(&read("/proc/self/statm")).unwrap_or(0).saturating_mul(page);
    let ticks = cpu_ticks(&read("/proc/self/stat")).unwrap_or(0);
    let cpu = Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1));
    Usage { cpu, resident, free }
}

/// `statm`: size, resident, … in pages.
fn second_number(statm: &str) -> Option<u64> {
    statm.split(' ').nth(1)?.parse().ok()
}

/// `stat`: user and system time are fields 14 and 15; the second is a name in brackets that may hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 900 0 3 0 25 17 0 0 20 0 5 0 100 1000 200 18446744073709551615";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(second_number("900 300 20 1 0 50 0"), Some(300));
        assert_eq!((cpu_ticks(""), second_number("")), (None, None));
        let usage = usage(Path::new("/"));
        assert!(usage.resident > 0 && usage.free > 0);
    }
}
