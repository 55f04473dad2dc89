use smolsmc_wire::{Gid, open_number};

use super::{Ipv4Header, Ipv6Header};

open_number! {
    /// What an IP packet carries (RFC 791 protocol, RFC 8200 next header).
    pub struct IpProtocol: u8 {
        /// ICMP for IPv4.
        ICMP = 1 => "ICMP",
        /// TCP.
        TCP = 6 => "TCP",
        /// UDP, the only one RoCEv2 uses.
        UDP = 17 => "UDP",
        /// ICMP for IPv6.
        ICMPV6 = 58 => "ICMPv6",
    }
}

/// An IP header of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpHeader {
    /// IPv4, 20 octets.
    V4(Ipv4Header),
    /// IPv6, 40 octets.
    V6(Ipv6Header),
}

impl IpHeader {
    /// Octets of the header without options or extension headers.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::V4(_) => Ipv4Header::LEN,
            Self::V6(_) => Ipv6Header::LEN,
        }
    }

    /// The source address as a GID; an IPv4 address in its mapped form.
    #[must_use]
    pub const fn src_gid(&self) -> Gid {
        match self {
            Self::V4(ip) => Gid::from_ipv4(ip.src.octets()),
            Self::V6(ip) => Gid(ip.src.octets()),
        }
    }

    /// The destination address as a GID; an IPv4 address in its mapped form.
    #[must_use]
    pub const fn dst_gid(&self) -> Gid {
        match self {
            Self::V4(ip) => Gid::from_ipv4(ip.dst.octets()),
            Self::V6(ip) => Gid(ip.dst.octets()),
        }
    }

    /// TTL or hop limit.
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        match self {
            Self::V4(ip) => ip.ttl,
            Self::V6(ip) => ip.hop_limit,
        }
    }
}
