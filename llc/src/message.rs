use smolsmc_wire::{EmitError, ParseError, Reader, Writer};

use crate::header::{Header, MIN_LEN, Opcode, RESPONSE, Start, Version};
use crate::{
    AddLink, AddLinkContinuation, AddLinkExtension, ConfirmLink, ConfirmRkey, ConfirmRkeyContinuation,
    DeleteLink, DeleteRkey, RequestAddLink, TestLink, UnknownMessage,
};

/// One LLC message: what is in all of them, and what is in this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Whose layout it has. For [`Body::Unknown`]: [`Version::V2`] if the type
    /// octet has the nibble of v2, else [`Version::V1`]; not used by `emit`.
    pub version: Version,
    /// Whether it answers a request (flag 0x80 of octet 3). For
    /// [`Body::Unknown`] the same bit, which may mean something else there; not
    /// used by `emit`.
    pub response: bool,
    /// The rest.
    pub body: Body,
}

/// What a message says, by its opcode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// 1: this link works.
    ConfirmLink(ConfirmLink),
    /// 2: a further link.
    AddLink(AddLink),
    /// 3: its rkeys, in SMC-Rv1.
    AddLinkContinuation(AddLinkContinuation),
    /// 4: the end of a link.
    DeleteLink(DeleteLink),
    /// 5: the client would like a further link; SMC-Rv2 only.
    RequestAddLink(RequestAddLink),
    /// 6: a new RMB.
    ConfirmRkey(ConfirmRkey),
    /// 7: are you there?
    TestLink(TestLink),
    /// 8: more rkeys of a new RMB.
    ConfirmRkeyContinuation(ConfirmRkeyContinuation),
    /// 9: RMBs that are no more.
    DeleteRkey(DeleteRkey),
    /// Any other type, kept whole.
    Unknown(UnknownMessage),
}

impl Message {
    /// From the octets of one received SEND.
    ///
    /// Octets after the declared length are ignored. A type octet without
    /// meaning is not an error but [`Body::Unknown`].
    ///
    /// # Errors
    /// [`smolsmc_wire::ParseErrorKind`]
    /// - `Truncated` below 44 octets, or if a list is longer than the message,
    /// - `Length` above [`crate::MAX_LEN`] octets, or if the declared length
    ///   (v1: 44; v2: 44 to the octets received) fits in no octet order,
    /// - `Type` for a CDC message, which is not LLC,
    /// - `Value` for more rkeys than the version allows.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let header = match Header::parse(octets)? {
            Start::Known(header) => header,
            Start::Unknown(version) => {
                let response = octets.get(3).is_some_and(|flags| flags & RESPONSE != 0);
                return Ok(Self { version, response, body: Body::Unknown(UnknownMessage::keep(octets)) });
            }
        };
        let what = header.opcode.name().unwrap_or("LLC message");
        let mut r = Reader::new(what, octets.get(..header.length).unwrap_or(octets));
        r.skip(Header::LEN)?;
        let body = Body::read(&header, &mut r, octets)?;
        Ok(Self { version: header.version, response: header.has(RESPONSE), body })
    }

    /// Length on the wire, in octets.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match &self.body {
            Body::AddLink(body) => body.len(),
            Body::RequestAddLink(body) => body.len(),
            Body::DeleteRkey(body) => body.len(),
            Body::Unknown(body) => body.len(),
            _ => MIN_LEN,
        }
    }

    /// Writes the message to the start of `out` and returns its length.
    ///
    /// # Errors
    /// - [`EmitError::BufferTooSmall`] if `out` is shorter than [`Message::wire_len`],
    /// - [`EmitError::TooLarge`] if a list or number is larger than the version allows,
    ///   or if the body is one that v1 does not have: an ADD LINK with
    ///   extension, a REQUEST ADD LINK.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        self.check()?;
        let length = self.wire_len();
        let mut w = Writer::new(self.body.name(), out, length)?;
        if let Body::Unknown(body) = &self.body {
            body.write(&mut w);
            return Ok(w.finish());
        }
        self.header(length).write(&mut w);
        self.body.write(self.version, &mut w);
        w.zeros(length.saturating_sub(w.position()));
        Ok(w.finish())
    }

    /// Refuses what the format cannot say. After this every length is at most
    /// [`crate::MAX_LEN`] and every count fits its field.
    fn check(&self) -> Result<(), EmitError> {
        let limited = |what, value, limit| match value {
            v if v > limit => Err(EmitError::TooLarge { what, limit, value }),
            _ => Ok(()),
        };
        match (&self.body, self.version) {
            (Body::AddLink(body), Version::V1) => {
                limited("ADD LINK in v1", body.len(), MIN_LEN)?;
                limited("ADD LINK reject reason", usize::from(body.reject_reason.0), 0x0f)
            }
            (Body::AddLink(AddLink { extension: Some(extension), .. }), Version::V2(_)) => {
                limited("ADD LINK rkeys", extension.rkeys.len(), AddLinkExtension::MAX_RKEYS)
            }
            (Body::RequestAddLink(body), Version::V1) => limited("REQUEST ADD LINK in v1", body.len(), 0),
            (Body::RequestAddLink(body), Version::V2(_)) => {
                limited("REQUEST ADD LINK GIDs", body.gids.len(), RequestAddLink::MAX_GIDS)
            }
            (Body::DeleteRkey(body), version) => {
                if version == Version::V1 || !self.response {
                    limited("DELETE RKEY unlisted rkeys", usize::from(body.unlisted), 0)?;
                }
                limited("DELETE RKEY rkeys", body.count(), DeleteRkey::max_rkeys(version))
            }
            _ => Ok(()),
        }
    }

    fn header(&self, length: usize) -> Header {
        let reject_reason = match &self.body {
            Body::AddLink(body) => body.reject_reason.0,
            _ => 0,
        };
        let response = if self.response { RESPONSE } else { 0 };
        Header {
            version: self.version,
            opcode: self.body.opcode(),
            length,
            reject_reason,
            flags: response | self.body.flags(),
        }
    }
}

impl Body {
    /// The opcode; of an unknown message the low nibble of its type octet.
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::ConfirmLink(_) => Opcode::CONFIRM_LINK,
            Self::AddLink(_) => Opcode::ADD_LINK,
            Self::AddLinkContinuation(_) => Opcode::ADD_LINK_CONTINUATION,
            Self::DeleteLink(_) => Opcode::DELETE_LINK,
            Self::RequestAddLink(_) => Opcode::REQUEST_ADD_LINK,
            Self::ConfirmRkey(_) => Opcode::CONFIRM_RKEY,
            Self::TestLink(_) => Opcode::TEST_LINK,
            Self::ConfirmRkeyContinuation(_) => Opcode::CONFIRM_RKEY_CONTINUATION,
            Self::DeleteRkey(_) => Opcode::DELETE_RKEY,
            Self::Unknown(body) => Opcode(body.type_octet() & 0x0f),
        }
    }

    /// The message's name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown LLC message",
            _ => self.opcode().name().unwrap_or("LLC message"),
        }
    }

    /// `r` is just behind the header and ends with the declared length;
    /// `octets` is everything that was received.
    fn read(header: &Header, r: &mut Reader<'_>, octets: &[u8]) -> Result<Self, ParseError> {
        Ok(match header.opcode {
            Opcode::CONFIRM_LINK => Self::ConfirmLink(ConfirmLink::read(header, r)?),
            Opcode::ADD_LINK => Self::AddLink(AddLink::read(header, r)?),
            Opcode::ADD_LINK_CONTINUATION => Self::AddLinkContinuation(AddLinkContinuation::read(r)?),
            Opcode::DELETE_LINK => Self::DeleteLink(DeleteLink::read(header, r)?),
            Opcode::REQUEST_ADD_LINK => Self::RequestAddLink(RequestAddLink::read(r)?),
            Opcode::CONFIRM_RKEY => Self::ConfirmRkey(ConfirmRkey::read(header, r)?),
            Opcode::TEST_LINK => Self::TestLink(TestLink::read(r)?),
            Opcode::CONFIRM_RKEY_CONTINUATION => {
                Self::ConfirmRkeyContinuation(ConfirmRkeyContinuation::read(header, r)?)
            }
            Opcode::DELETE_RKEY => Self::DeleteRkey(DeleteRkey::read(header, r)?),
            _ => Self::Unknown(UnknownMessage::keep(octets)),
        })
    }

    /// The flags of octet 3 that belong to the body.
    const fn flags(&self) -> u8 {
        match self {
            Self::ConfirmLink(body) => body.no_eyecatcher.bits(),
            Self::AddLink(body) => body.flags(),
            Self::DeleteLink(body) => body.flags(),
            Self::ConfirmRkey(body) => body.flags(),
            Self::ConfirmRkeyContinuation(body) => body.flags(),
            Self::DeleteRkey(body) => body.flags(),
            Self::AddLinkContinuation(_) | Self::RequestAddLink(_) | Self::TestLink(_) | Self::Unknown(_) => {
                0
            }
        }
    }

    fn write(&self, version: Version, w: &mut Writer<'_>) {
        match self {
            Self::ConfirmLink(body) => body.write(w),
            Self::AddLink(body) => body.write(version, w),
            Self::AddLinkContinuation(body) => body.write(w),
            Self::DeleteLink(body) => body.write(w),
            Self::RequestAddLink(body) => body.write(w),
            Self::ConfirmRkey(body) => body.write(w),
            Self::TestLink(body) => body.write(w),
            Self::ConfirmRkeyContinuation(body) => body.write(w),
            Self::DeleteRkey(body) => body.write(w),
            Self::Unknown(body) => body.write(w),
        }
    }
}
