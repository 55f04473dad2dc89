use smolsmc_wire::{LinkNumber, ParseError, Reader, Writer, open_number};

use crate::header::{Header, flag};

const ALL: u8 = 0x40;
const ORDERLY: u8 = 0x20;

open_number! {
    /// Why a link goes, or why a request to delete it was refused (RFC 7609
    /// Appendix A.3.4).
    pub struct DeleteReason: u32 {
        /// None given: a response that agrees.
        NONE = 0 => "no reason",
        /// The path is lost.
        LOST_PATH = 0x0001_0000 => "lost path",
        /// An operator wants it; Linux 6.12 says so when it shuts down.
        OPERATOR_INITIATED = 0x0002_0000 => "operator initiated",
        /// The program wants it: the group is idle.
        PROGRAM_INITIATED = 0x0003_0000 => "program initiated, inactivity",
        /// The peer broke the LLC protocol.
        PROTOCOL_VIOLATION = 0x0004_0000 => "LLC protocol violation",
        /// A symmetric link has taken over from this asymmetric one.
        ASYMMETRIC_NO_LONGER_NEEDED = 0x0005_0000 => "asymmetric link no longer needed",
        /// Response: there is no link of this number.
        UNKNOWN_LINK = 0x0010_0000 => "unknown link number",
        /// Response: there is no such group.
        UNKNOWN_GROUP = 0x0020_0000 => "unknown link group",
    }
}

/// DELETE LINK: the end of one link or of all (RFC 7609 Appendix A.3.4). The
/// server's request counts; the client's asks the server to make one.
///
/// ```text
///    3  flags: 0x80 response, 0x40 all, 0x20 orderly
///    4  link number   5  reason (4)   9  reserved (35)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeleteLink {
    /// Every link, and with them the group.
    pub all: bool,
    /// What uses the link may end or move first; else it goes at once.
    pub orderly: bool,
    /// The link; 0 with `all`.
    pub link_number: LinkNumber,
    /// Why; in a response, why not.
    pub reason: DeleteReason,
}

impl DeleteLink {
    pub(crate) const fn flags(&self) -> u8 {
        flag(self.all, ALL) | flag(self.orderly, ORDERLY)
    }

    pub(crate) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            all: header.has(ALL),
            orderly: header.has(ORDERLY),
            link_number: LinkNumber(r.u8()?),
            reason: DeleteReason(r.u32()?),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.link_number.0);
        w.u32(self.reason.0);
    }
}
