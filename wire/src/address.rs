use core::fmt;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A global identifier of an RDMA port: 16 octets in the form of an IPv6
/// address (IBTA §4.1.1). RoCEv2 over IPv4 uses the IPv4-mapped form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gid(pub [u8; 16]);

impl Gid {
    /// The IPv4-mapped GID `::ffff:a.b.c.d`.
    #[must_use]
    pub const fn from_ipv4([a, b, c, d]: [u8; 4]) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// The IPv4 address, if this GID is IPv4-mapped.
    #[must_use]
    pub const fn ipv4(self) -> Option<[u8; 4]> {
        match self.0 {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }

    /// All octets zero: no GID was given.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&core::net::Ipv6Addr::from(self.0), f)
    }
}

/// Names an SMC stack: an instance id that changes at each start, and the MAC
/// of one of its RoCE ports (RFC 7609 Appendix A.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    /// Random at each start of the stack.
    pub instance: u16,
    /// The MAC of the stack's first active RoCE port.
    pub mac: Mac,
}

impl PeerId {
    /// Length in octets.
    pub const LEN: usize = 8;

    /// From its 8 octets.
    #[must_use]
    pub const fn from_octets([i, j, a, b, c, d, e, f]: [u8; 8]) -> Self {
        Self { instance: u16::from_be_bytes([i, j]), mac: Mac([a, b, c, d, e, f]) }
    }

    /// As its 8 octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 8] {
        let [i, j] = self.instance.to_be_bytes();
        let [a, b, c, d, e, f] = self.mac.0;
        [i, j, a, b, c, d, e, f]
    }

    /// All octets zero: Linux sends this in a Proposal that offers no SMC-Rv1.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}@{}", self.instance, self.mac)
    }
}
