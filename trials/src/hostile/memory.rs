//! What the kernel says of a process's memory.

use std::fs;

/// The memory of one process.
pub(super) struct Memory {
    id: u32,
}

impl Memory {
    pub(super) fn of(id: u32) -> Self {
        Self { id }
    }

    /// Starts a new high-water mark; the memory now, KiB.
    pub(super) fn start_peak(&self) -> u64 {
        // 5 resets the peak (proc(5), clear_refs).
        fs::write(format!("/proc/{}/clear_refs", self.id), "5").expect("the mark can be reset");
        self.field("VmRSS:")
    }

    /// The high-water mark, KiB.
    pub(super) fn peak(&self) -> u64 {
        self.field("VmHWM:")
    }

    /// The memory now, KiB.
    pub(super) fn now(&self) -> u64 {
        self.field("VmRSS:")
    }

    fn field(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says so");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}
