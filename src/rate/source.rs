//! Whom a request comes from, as far as bounds are concerned.

use std::net::IpAddr;

use crate::{random::Random, secret::Key};

/// A caller: an address or an account, under a hash that means nothing outside this process.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Source(pub(super) [u8; 16]);

/// Names callers.
pub struct Sources(Key);

impl Sources {
    /// Names under a fresh key: those of an earlier start cannot be compared with them.
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        Self(Key::random(random))
    }

    /// The caller behind an address. An IPv6 address counts by its /64, which one household or machine has whole.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => self.name(b'4', &address.octets()),
            IpAddr::V6(address) => self.name(b'6', &address.octets()[..8]),
        }
    }

    /// The caller behind an account.
    #[must_use]
    pub fn account(&self, user: &str) -> Source {
        self.name(b'a', user.as_bytes())
    }

    fn name(&self, kind: u8, bytes: &[u8]) -> Source {
        let mut hasher = blake3::Hasher::new_keyed(self.0.expose());
        hasher.update(&[kind]).update(bytes);
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        Source(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn an_address_has_one_name_in_one_process() {
        let (here, later) = (Sources::new(&SeededRandom::new(1)), Sources::new(&SeededRandom::new(2)));
        let at = |sources: &Sources, text: &str| sources.address(text.parse().unwrap());
        assert!(at(&here, "192.0.2.1") == at(&here, "192.0.2.1"));
        assert!(at(&here, "192.0.2.1") == at(&here, "::ffff:192.0.2.1"));
        assert!(at(&here, "192.0.2.1") != at(&here, "192.0.2.2"));
        assert!(at(&here, "192.0.2.1") != at(&later, "192.0.2.1"));
        assert!(at(&here, "2001:db8:0:1::1") == at(&here, "2001:db8:0:1:ffff::2"));
        assert!(at(&here, "2001:db8:0:1::1") != at(&here, "2001:db8:0:2::1"));
        assert!(here.account("@a:b") != here.account("@c:b"));
    }
}
