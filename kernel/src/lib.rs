//! What the kernel says of its clock. The only unsafe code of the project: one system call that reads.

/// Whether somebody keeps the machine's clock right: the kernel's own mark, which time daemons set, and which goes when
/// the clock is set by hand or nobody has corrected it for hours. Nothing when the kernel does not say.
#[must_use]
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: a `timex` is integers, for which zeros are valid; with zero `modes` the call changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the reference is to a whole `timex` that outlives the call.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    (answer != -1).then_some(answer != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_says_something_or_nothing_twice() {
        assert_eq!(super::clock_is_synchronised().is_some(), super::clock_is_synchronised().is_some());
    }
}
