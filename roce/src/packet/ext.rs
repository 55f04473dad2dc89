//! The extension headers between BTH and payload (IBTA §9.3, §9.5).

use smolsmc_wire::{Duration, EmitError, Msn, ParseError, Rkey, open_number};

use super::Opcode;

const WHAT: &str = "extension headers";

/// Waiting times of an RNR NAK by timer code, in microseconds (IBTA §9.7.5.2.8).
pub const RNR_TIMER_MICROS: [u32; 32] = [
    655_360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1_280, 1_920, 2_560, 3_840, 5_120,
    7_680, 10_240, 15_360, 20_480, 30_720, 40_960, 61_440, 81_920, 122_880, 163_840, 245_760, 327_680,
    491_520,
];

/// How long to wait after an RNR NAK, as its 5-bit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RnrTimer(u8);

impl RnrTimer {
    /// The timer whose code is in the low five bits of `code`.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code & 0x1f)
    }

    /// The code, 0 to 31.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The time itself. Not monotonic in the code: 0 is the longest.
    #[must_use]
    pub fn duration(self) -> Duration {
        let micros = RNR_TIMER_MICROS.get(usize::from(self.0)).copied().unwrap_or_default();
        Duration::from_micros(u64::from(micros))
    }
}

open_number! {
    /// Why a responder refuses a request for good, 5 bits (IBTA §9.7.5.2).
    pub struct NakCode: u8 {
        /// Packets are missing before this one: the only NAK a connection survives.
        PSN_SEQUENCE_ERROR = 0 => "PSN sequence error",
        /// Wrong opcode sequence, wrong length, or an operation not allowed.
        INVALID_REQUEST = 1 => "invalid request",
        /// Wrong rkey or outside its region.
        REMOTE_ACCESS_ERROR = 2 => "remote access error",
        /// The responder failed for its own reasons.
        REMOTE_OPERATIONAL_ERROR = 3 => "remote operational error",
    }
}

/// The first octet of an AETH (IBTA §9.5): what is said about the PSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syndrome {
    /// Everything up to this PSN has arrived.
    Ack {
        /// Encoded end-to-end credits, 0 to 30; 31 says nothing about them.
        credits: u8,
    },
    /// No receive was posted for this SEND: try again after a while.
    RnrNak {
        /// How long to wait.
        timer: RnrTimer,
    },
    /// The request is refused.
    Nak {
        /// Why.
        code: NakCode,
    },
    /// A syndrome without a meaning, the whole octet.
    Reserved(u8),
}

impl Syndrome {
    /// An ACK without credit information: the only one Linux 6.12 `rdma_rxe` sends.
    pub const ACK: Self = Self::Ack { credits: 31 };

    /// The meaning of a syndrome octet.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        let value = octet & 0x1f;
        match octet >> 5 {
            0 => Self::Ack { credits: value },
            1 => Self::RnrNak { timer: RnrTimer::from_code(value) },
            3 => Self::Nak { code: NakCode(value) },
            _ => Self::Reserved(octet),
        }
    }

    /// The octet; of credits and NAK code the low five bits.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Ack { credits } => credits & 0x1f,
            Self::RnrNak { timer } => 0x20 | timer.code(),
            Self::Nak { code } => 0x60 | code.0 & 0x1f,
            Self::Reserved(octet) => octet,
        }
    }
}

/// RDMA extended transport header: 16 octets (IBTA §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reth {
    /// Where in the responder's memory, in the address space of the region.
    pub vaddr: u64,
    /// The region's key.
    pub rkey: Rkey,
    /// Octets of the whole message, not of this packet.
    pub dma_len: u32,
}

/// ACK extended transport header: 4 octets (IBTA §9.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aeth {
    /// What is said about the PSN of the packet.
    pub syndrome: Syndrome,
    /// Messages the responder has completed.
    pub msn: Msn,
}

/// Immediate data: 4 octets for the receiver's completion (IBTA §9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ImmDt(pub [u8; 4]);

/// Invalidate extended transport header: the key to invalidate, 4 octets (IBTA §9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ieth(pub Rkey);

/// Atomic extended transport header: 28 octets, kept as they are (IBTA §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AtomicEth(pub [u8; 28]);

/// Atomic acknowledge extended transport header: 8 octets, kept as they are (IBTA §9.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AtomicAckEth(pub [u8; 8]);

/// Which extension headers a packet has; its opcode decides
/// ([`Opcode::ext_kind`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtKind {
    /// No extension header.
    None,
    /// RETH.
    Reth,
    /// RETH, then ImmDt.
    RethImm,
    /// ImmDt.
    Imm,
    /// IETH.
    Ieth,
    /// AETH.
    Aeth,
    /// AtomicETH.
    AtomicEth,
    /// AETH, then AtomicAckETH.
    AtomicAck,
}

impl ExtKind {
    /// Octets the headers take.
    #[must_use]
    pub const fn wire_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Imm | Self::Ieth | Self::Aeth => 4,
            Self::AtomicAck => 12,
            Self::Reth => 16,
            Self::RethImm => 20,
            Self::AtomicEth => 28,
        }
    }
}

/// The extension headers of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ext {
    /// No extension header.
    None,
    /// RDMA WRITE first and only, READ request.
    Reth(Reth),
    /// RDMA WRITE only with immediate.
    RethImm(Reth, ImmDt),
    /// SEND or RDMA WRITE with immediate.
    Imm(ImmDt),
    /// SEND with invalidate.
    Ieth(Ieth),
    /// ACK, NAK, and READ response but the middle ones.
    Aeth(Aeth),
    /// Compare and swap, fetch and add.
    AtomicEth(AtomicEth),
    /// The answer to an atomic.
    AtomicAck(Aeth, AtomicAckEth),
}

impl Ext {
    /// The most octets extension headers take.
    pub const MAX_LEN: usize = 28;

    /// Which headers these are.
    #[must_use]
    pub const fn kind(&self) -> ExtKind {
        match self {
            Self::None => ExtKind::None,
            Self::Reth(_) => ExtKind::Reth,
            Self::RethImm(..) => ExtKind::RethImm,
            Self::Imm(_) => ExtKind::Imm,
            Self::Ieth(_) => ExtKind::Ieth,
            Self::Aeth(_) => ExtKind::Aeth,
            Self::AtomicEth(_) => ExtKind::AtomicEth,
            Self::AtomicAck(..) => ExtKind::AtomicAck,
        }
    }

    /// Octets the headers take.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        self.kind().wire_len()
    }

    /// The RETH, if there is one.
    #[must_use]
    pub const fn reth(&self) -> Option<Reth> {
        match *self {
            Self::Reth(reth) | Self::RethImm(reth, _) => Some(reth),
            _ => None,
        }
    }

    /// The AETH, if there is one.
    #[must_use]
    pub const fn aeth(&self) -> Option<Aeth> {
        match *self {
            Self::Aeth(aeth) | Self::AtomicAck(aeth, _) => Some(aeth),
            _ => None,
        }
    }

    /// The immediate data, if there are any.
    #[must_use]
    pub const fn imm(&self) -> Option<ImmDt> {
        match *self {
            Self::Imm(imm) | Self::RethImm(_, imm) => Some(imm),
            _ => None,
        }
    }

    /// The headers `opcode` asks for, from the octets after the BTH.
    ///
    /// # Errors
    /// Truncated.
    #[inline]
    pub fn parse(opcode: Opcode, octets: &[u8]) -> Result<Self, ParseError> {
        let kind = opcode.ext_kind();
        let parsed = match kind {
            ExtKind::None => Some(Self::None),
            ExtKind::Reth => octets.first_chunk().map(Reth::read).map(Self::Reth),
            ExtKind::RethImm => pair(octets).map(|(reth, imm)| Self::RethImm(Reth::read(reth), ImmDt(*imm))),
            ExtKind::Imm => octets.first_chunk().map(|imm| Self::Imm(ImmDt(*imm))),
            ExtKind::Ieth => octets.first_chunk().map(|key| Self::Ieth(Ieth(Rkey(u32::from_be_bytes(*key))))),
            ExtKind::Aeth => octets.first_chunk().map(Aeth::read).map(Self::Aeth),
            ExtKind::AtomicEth => octets.first_chunk().map(|all| Self::AtomicEth(AtomicEth(*all))),
            ExtKind::AtomicAck => {
                pair(octets).map(|(aeth, answer)| Self::AtomicAck(Aeth::read(aeth), AtomicAckEth(*answer)))
            }
        };
        parsed.ok_or(ParseError::truncated(WHAT, 0, kind.wire_len(), octets.len()))
    }

    /// Writes the headers to the start of `out` and returns their length.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] if `out` is shorter than [`wire_len`](Self::wire_len).
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let got = out.len();
        let written = match self {
            Self::None => Some(()),
            Self::Reth(reth) => write(out, &reth.octets()),
            Self::RethImm(reth, imm) => write_pair(out, &reth.octets(), &imm.0),
            Self::Imm(imm) => write(out, &imm.0),
            Self::Ieth(ieth) => write(out, &ieth.0.0.to_be_bytes()),
            Self::Aeth(aeth) => write(out, &aeth.octets()),
            Self::AtomicEth(atomic) => write(out, &atomic.0),
            Self::AtomicAck(aeth, answer) => write_pair(out, &aeth.octets(), &answer.0),
        };
        let needed = self.wire_len();
        written.map(|()| needed).ok_or(EmitError::BufferTooSmall { what: WHAT, needed, got })
    }
}

impl Reth {
    #[inline]
    const fn read(&[a, b, c, d, e, f, g, h, k0, k1, k2, k3, l0, l1, l2, l3]: &[u8; 16]) -> Self {
        Self {
            vaddr: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            rkey: Rkey(u32::from_be_bytes([k0, k1, k2, k3])),
            dma_len: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }

    #[inline]
    const fn octets(&self) -> [u8; 16] {
        let all = (self.vaddr as u128) << 64 | (self.rkey.0 as u128) << 32 | self.dma_len as u128;
        all.to_be_bytes()
    }
}

impl Aeth {
    #[inline]
    const fn read(&[syndrome, a, b, c]: &[u8; 4]) -> Self {
        Self { syndrome: Syndrome::from_octet(syndrome), msn: Msn::new(u32::from_be_bytes([0, a, b, c])) }
    }

    #[inline]
    const fn octets(&self) -> [u8; 4] {
        let [_, a, b, c] = self.msn.value().to_be_bytes();
        [self.syndrome.octet(), a, b, c]
    }
}

/// Two headers one after the other.
#[inline]
fn pair<const A: usize, const B: usize>(octets: &[u8]) -> Option<(&[u8; A], &[u8; B])> {
    let (first, rest) = octets.split_first_chunk()?;
    Some((first, rest.first_chunk()?))
}

#[inline]
fn write<const A: usize>(out: &mut [u8], header: &[u8; A]) -> Option<()> {
    *out.first_chunk_mut()? = *header;
    Some(())
}

#[inline]
fn write_pair<const A: usize, const B: usize>(
    out: &mut [u8],
    first: &[u8; A],
    second: &[u8; B],
) -> Option<()> {
    let (place, rest) = out.split_first_chunk_mut()?;
    write(rest, second)?;
    *place = *first;
    Some(())
}
