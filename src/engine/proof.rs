//! The key protocol proved on the real code: power cuts at every disk step, random runs, and an adversary who has the
//! disk and every credential that was ever given out.
//!
//! Owns no format: the adversary reads what `doc/storage.md` says. The invariants: **I1** what was acknowledged is
//! there after any cut; **I2** a revoked credential opens nothing; **I3** what has died opens with nothing; **I4** who
//! is not in a room opens nothing of it; **I5** who is entitled can come to the key again.

mod ages;
mod backup;
mod cuts;
mod ghost;
mod halls;
mod images;
mod oracle;
mod races;
mod random;
mod stage;
mod step;
