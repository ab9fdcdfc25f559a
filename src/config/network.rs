//! Networks as people write them: `"10.0.0.0/8"`, or one address.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A range of addresses: an address, or one with the number of leading bits that count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| de::Error::custom("expected addresses such as \"10.0.0.0/8\" or \"::1\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written() {
        for (text, written) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("::1", "::1/128"), ("fd00::/8", "fd00::/8")]
        {
            let network: Network = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(network).unwrap(), written);
        }
        for text in ["", "10.0.0.0/33", "localhost", "10.0.0.0/8 "] {
            assert!(serde_json::from_value::<Network>(text.into()).is_err(), "{text}");
        }
    }
}
