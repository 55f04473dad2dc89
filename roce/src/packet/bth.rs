use smolsmc_wire::{ParseError, Psn, Qpn};

use super::Opcode;

/// The partition key of the default partition, full member: the only one SMC-R
/// uses (IBTA §10.9; Linux 6.12 `smc_ib`, pkey index 0).
pub const DEFAULT_PKEY: u16 = 0xffff;

const SOLICITED: u8 = 0x80;
const MIGRATED: u8 = 0x40;
const FECN: u8 = 0x80;
const BECN: u8 = 0x40;
const ACK_REQUEST: u8 = 0x80;

/// A base transport header: 12 octets (IBTA §9.2). Its transport version must
/// be 0 and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bth {
    /// What the packet is.
    pub opcode: Opcode,
    /// Solicited event: the receiver's completion should wake somebody.
    pub solicited: bool,
    /// Path migration state; Linux 6.12 `rdma_rxe` sends 0 and ignores it.
    pub migrated: bool,
    /// Octets of padding after the payload, 0 to 3. Set from the payload's
    /// length when a frame is emitted.
    pub pad: u8,
    /// Partition key.
    pub pkey: u16,
    /// Forward congestion notification. The ICRC does not cover it.
    pub fecn: bool,
    /// Backward congestion notification. The ICRC does not cover it.
    pub becn: bool,
    /// The queue pair the packet is for.
    pub dest_qpn: Qpn,
    /// The responder must acknowledge this packet.
    pub ack_request: bool,
    /// Packet sequence number.
    pub psn: Psn,
}

impl Bth {
    /// Octets of the header.
    pub const LEN: usize = 12;

    /// A header with the default partition key and every flag off.
    #[must_use]
    pub const fn new(opcode: Opcode, dest_qpn: Qpn, psn: Psn) -> Self {
        Self {
            opcode,
            solicited: false,
            migrated: false,
            pad: 0,
            pkey: DEFAULT_PKEY,
            fecn: false,
            becn: false,
            dest_qpn,
            ack_request: false,
            psn,
        }
    }

    /// The header at the start of `octets`.
    ///
    /// # Errors
    /// Truncated; a transport version other than 0.
    #[inline]
    pub const fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let Some(&[opcode, flags, k0, k1, congestion, q0, q1, q2, acknowledge, s0, s1, s2]) =
            octets.first_chunk::<{ Self::LEN }>()
        else {
            return Err(ParseError::truncated("BTH", 0, Self::LEN, octets.len()));
        };
        if flags & 0x0f != 0 {
            return Err(ParseError::value("BTH version", 1, (flags & 0x0f) as u64));
        }
        Ok(Self {
            opcode: Opcode(opcode),
            solicited: flags & SOLICITED != 0,
            migrated: flags & MIGRATED != 0,
            pad: flags >> 4 & 3,
            pkey: u16::from_be_bytes([k0, k1]),
            fecn: congestion & FECN != 0,
            becn: congestion & BECN != 0,
            dest_qpn: Qpn::new(u32::from_be_bytes([0, q0, q1, q2])),
            ack_request: acknowledge & ACK_REQUEST != 0,
            psn: Psn::new(u32::from_be_bytes([0, s0, s1, s2])),
        })
    }

    /// Writes the header; of the pad count its low two bits.
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        let flags = bit(self.solicited, SOLICITED) | bit(self.migrated, MIGRATED) | (self.pad & 3) << 4;
        let congestion = bit(self.fecn, FECN) | bit(self.becn, BECN);
        let [k0, k1] = self.pkey.to_be_bytes();
        let [_, q0, q1, q2] = self.dest_qpn.value().to_be_bytes();
        let [_, s0, s1, s2] = self.psn.value().to_be_bytes();
        let acknowledge = bit(self.ack_request, ACK_REQUEST);
        *out = [self.opcode.0, flags, k0, k1, congestion, q0, q1, q2, acknowledge, s0, s1, s2];
    }
}

const fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}
