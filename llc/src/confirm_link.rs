use core::fmt;

use smolsmc_wire::{Gid, LinkNumber, LinkUid, Mac, ParseError, Qpn, Reader, Writer};

use crate::header::Header;

/// CONFIRM LINK: the first message on a link, which shows that it works
/// (RFC 7609 Appendix A.3.1). The server asks, the client answers with its own
/// values and the server's link number.
///
/// ```text
///    3  flags: 0x80 response, 0x03 no eyecatcher
///    4  MAC (6)      10  GID (16)     26  QPN (3)    29  link number
///   30  link user id (4)              34  max links  35  max conns   36  reserved (8)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfirmLink {
    /// The sender's end of the link. Linux 6.12 ignores it, as it does GID and QPN.
    pub mac: Mac,
    /// The sender's end of the link.
    pub gid: Gid,
    /// The sender's end of the link.
    pub qpn: Qpn,
    /// Chosen by the server, never 0 in Linux 6.12; the client repeats it.
    pub link_number: LinkNumber,
    /// The sender's label of this link, for people.
    pub link_uid: LinkUid,
    /// Most links in the group: the value negotiated by CLC in SMC-Rv2.1, 2
    /// from Linux 6.12 in earlier versions. Reserved in RFC 7609.
    pub max_links: u8,
    /// Most connections in the group: the value negotiated by CLC in
    /// SMC-Rv2.1, else 0. Reserved in RFC 7609.
    pub max_conns: u8,
    /// Whether the sender's RMBEs go without eyecatcher. Reserved in RFC 7609,
    /// and asked for by Linux 6.12: it declines a peer that sets neither bit.
    pub no_eyecatcher: NoEyecatcher,
}

impl ConfirmLink {
    pub(crate) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            mac: Mac(r.array()?),
            gid: Gid(r.array()?),
            qpn: Qpn::new(r.u24()?),
            link_number: LinkNumber(r.u8()?),
            link_uid: LinkUid(r.u32()?),
            max_links: r.u8()?,
            max_conns: r.u8()?,
            no_eyecatcher: NoEyecatcher::new(header.flags),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.mac.0);
        w.slice(&self.gid.0);
        w.u24(self.qpn.value());
        w.u8(self.link_number.0);
        w.u32(self.link_uid.0);
        w.u8(self.max_links);
        w.u8(self.max_conns);
    }
}

/// Two bits that say there is no eyecatcher at the start of each RMBE
/// (RFC 7609 §4.2 wants one). Linux 6.12 smc_llc sets both, and takes either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoEyecatcher(u8);

impl NoEyecatcher {
    /// Both bits, as Linux sends.
    pub const BOTH: Self = Self(0x03);

    /// The low two bits of `bits`.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(bits & 0x03)
    }

    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the sender keeps no eyecatcher: either bit.
    #[must_use]
    pub const fn is_said(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for NoEyecatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_said() { "no eyecatcher" } else { "eyecatcher" })
    }
}
