use smolsmc_wire::{EmitError, ParseError, PeerId};

use crate::header::{self, Header, MessageType, Version, check_nibble};
use crate::{Diagnosis, Eyecatcher, Os};

const WHAT: &str = "CLC Decline";

/// A peer's refusal, in place of any message expected from it (RFC 7609
/// Appendix A.2.5, Linux 6.12 smc_clc). Whoever receives it answers nothing and
/// goes on with TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decline {
    /// The version of the message, which sets its length. Not always that of
    /// the Proposal: a Linux client that declines in place of one uses 1.
    pub version: Version,
    /// The sender does not have the link group the peer relies on.
    pub out_of_sync: bool,
    /// The sender; zero if it has no RoCE port.
    pub peer_id: PeerId,
    /// Why.
    pub diagnosis: Diagnosis,
    /// The sender's operating system: a nibble, not carried in version 1.
    pub os: Os,
    /// More diagnosis: not carried in version 1, zero from Linux.
    pub extra: [u32; 4],
}

impl Decline {
    /// Length in octets in version 1.
    pub const LEN_V1: usize = 28;
    /// Length in octets in version 2.
    pub const LEN_V2: usize = 44;

    /// A Decline of version 1; out of sync if the diagnosis says so.
    #[must_use]
    pub fn v1(peer_id: PeerId, diagnosis: Diagnosis) -> Self {
        let out_of_sync = diagnosis == Diagnosis::OUT_OF_SYNC;
        Self { version: Version::V1, out_of_sync, peer_id, diagnosis, os: Os(0), extra: [0; 4] }
    }

    /// A Decline of version 2; out of sync if the diagnosis says so.
    #[must_use]
    pub fn v2(peer_id: PeerId, diagnosis: Diagnosis, os: Os) -> Self {
        Self { version: Version::V2, os, ..Self::v1(peer_id, diagnosis) }
    }

    /// Reads one whole message. The trailer is not looked at, as in Linux.
    ///
    /// # Errors
    /// A bad header, another type, or a length other than that of the version.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let (header, mut r) = header::open(WHAT, MessageType::DECLINE, octets)?;
        let expected = Self::len(header.version);
        if octets.len() != expected {
            return Err(ParseError::length(WHAT, 5, expected, octets.len()));
        }
        let peer_id = PeerId::from_octets(r.array()?);
        let diagnosis = Diagnosis(r.u32()?);
        let mut decline = Self::v1(peer_id, diagnosis);
        if !header.version.is_v1() {
            decline.os = Os(r.u8()? >> 4);
            r.skip(3)?;
            decline.extra = [r.u32()?, r.u32()?, r.u32()?, r.u32()?];
        }
        Ok(Self { version: header.version, out_of_sync: header.out_of_sync(), ..decline })
    }

    /// Length in octets.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        Self::len(self.version)
    }

    /// Writes the message to the start of `out`; returns its length in octets.
    ///
    /// # Errors
    /// A buffer too small, an OS that is no nibble, or in version 1 an OS or
    /// further diagnosis other than zero.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut w = self.header()?.begin(WHAT, out)?;
        w.slice(&self.peer_id.octets());
        w.u32(self.diagnosis.0);
        w.u8(self.os.0 << 4);
        w.zeros(3);
        if !self.version.is_v1() {
            self.extra.iter().for_each(|&word| w.u32(word));
        }
        Eyecatcher::Smcr.write(&mut w);
        Ok(w.finish())
    }

    pub(crate) fn header(&self) -> Result<Header, EmitError> {
        check_nibble("OS type", self.os.0)?;
        if self.version.is_v1() && (self.os.0 != 0 || self.extra != [0; 4]) {
            return Err(EmitError::Inconsistent { what: "v2 part of a v1 Decline" });
        }
        let flags = if self.out_of_sync { Header::BIT_3 } else { 0 };
        Header::new(MessageType::DECLINE, self.version, flags, self.wire_len())
    }

    const fn len(version: Version) -> usize {
        if version.is_v1() { Self::LEN_V1 } else { Self::LEN_V2 }
    }
}
