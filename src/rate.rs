//! How often, how many at once, how much: bounds on what one account or one address can ask for.
//!
//! Owns the names under which callers are counted, and the counts, all of it in RAM: a name is a hash under a key that
//! ends with the process, so that not even its memory lists addresses. Decides how often each kind of request may come
//! ([`Kind`]); what a caller is told is chosen in `error`.

mod bucket;
mod crowd;
mod kind;
mod pool;
mod source;

pub use self::{
    bucket::Bucket,
    crowd::{Crowd, Seat},
    kind::{Kind, Rates, VOLUME_UNIT},
    pool::{Full, Hold, Pool},
    source::{Source, Sources},
};
