//! A power cut on purpose. Owns the count of disk steps that tests cut at; a server never has one.

use parking_lot::Mutex;

use super::Error;

/// Counts disk steps and fails them all from a chosen one on, as a power cut does.
///
/// One fuse is shared by everything that lies on the same machine: the memory backend and the key files.
#[derive(Default)]
pub struct Fuse(Mutex<State>);

#[derive(Default)]
struct State {
    steps: u64,
    left: Option<u64>,
    blown: bool,
}

impl Fuse {
    /// A fuse that does not blow.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One disk step; [`Error::Io`] when the power is gone, and then the step has not happened.
    pub fn step(&self) -> Result<(), Error> {
        let mut state = self.0.lock();
        match state.left {
            Some(0) => {
                state.blown = true;
                return Err(Error::Io);
            }
            Some(left) => state.left = Some(left - 1),
            None => {}
        }
        state.steps += 1;
        Ok(())
    }

    /// [`Error::Io`] once a step has failed: what a read finds when the power is gone.
    pub fn check(&self) -> Result<(), Error> {
        if self.blown() { Err(Error::Io) } else { Ok(()) }
    }

    /// Whether a step has failed, that is, whether the cut has been reached.
    #[must_use]
    pub fn blown(&self) -> bool {
        self.0.lock().blown
    }

    /// Lets `steps` further steps happen, and none after them.
    pub fn cut_after(&self, steps: u64) {
        let mut state = self.0.lock();
        state.left = Some(steps);
        state.blown = false;
    }

    /// The power is back; nothing is cut until [`Fuse::cut_after`] is called again.
    pub fn reset(&self) {
        let mut state = self.0.lock();
        state.left = None;
        state.blown = false;
    }

    /// The steps that have happened so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.lock().steps
    }
}
