//! Which addresses are the public internet's: everything else belongs to this machine, its network or nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks of IPv4 that are not the public internet (IANA's special-purpose registry), and one public address that is
/// a cloud's own.
const PRIVATE_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),            // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // carrier-grade NAT, and a cloud's metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's metadata
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, where most clouds have their metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments, and a cloud's metadata
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // relays to 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),      // multicast, reserved, broadcast
];

/// Where IPv6 has public addresses: everything else (loopback, link-local, unique local, multicast) is not.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What lies in there without being public.
const PRIVATE_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: leads to IPv4 behind it
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// The prefix under which networks without IPv4 show all of it (NAT64).
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether `address` may be contacted: it is public, or in one of the networks that were `allowed`.
pub(super) fn may_contact(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|network| network.contains(&address)) || is_public(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !PRIVATE_V4.iter().any(|network| within_v4(address, *network)),
        IpAddr::V6(address) if within_v6(address, NAT64) => {
            let [.., high, low] = address.segments();
            is_public(IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))))
        }
        IpAddr::V6(address) => {
            within_v6(address, PUBLIC_V6) && !PRIVATE_V6.iter().any(|network| within_v6(address, *network))
        }
    }
}

fn within_v4(address: Ipv4Addr, (network, length): (Ipv4Addr, u8)) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= u32::from(length)
}

fn within_v6(address: Ipv6Addr, (network, length): (Ipv6Addr, u8)) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= u32::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(text: &str, allowed: &[IpNet]) -> bool {
        may_contact(text.parse().unwrap(), allowed)
    }

    #[test]
    fn only_the_public_internet_is_contacted() {
        for public in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.0", "192.0.1.1", "198.20.0.0", "223.255.255.255"]
        {
            assert!(may(public, &[]), "{public}");
        }
        for public in ["2600::1", "2a00:1450::1", "2001:200::1", "64:ff9b::8.8.8.8", "::ffff:1.1.1.1"] {
            assert!(may(public, &[]), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!may(private, &[]), "{private}");
            assert!(!may(&format!("::ffff:{private}"), &[]), "mapped {private}");
            assert!(!may(&format!("::{private}"), &[]), "compatible {private}");
            assert!(!may(&format!("64:ff9b::{private}"), &[]), "translated {private}");
        }
        for private in [
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "100::1",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fec0::1",
        ] {
            assert!(!may(private, &[]), "{private}");
        }
    }

    #[test]
    fn what_is_allowed_is_contacted_and_nothing_beside_it() {
        let allowed: Vec<IpNet> = ["10.1.0.0/16", "::1/128"].iter().map(|text| text.parse().unwrap()).collect();
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("::1", true),
            ("::2", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(may(address, &allowed), expected, "{address}");
        }
    }
}
