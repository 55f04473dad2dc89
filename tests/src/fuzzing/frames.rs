//! Hostile frames in the midst of a conversation between two real kernels.
//!
//! ```text
//!   capture | frames | operation len payload | operation len payload | ...
//!     (1)      (1)         (2)     (2)
//! ```
//!
//! The first frames of a capture are told to the decoder; then each operation
//! becomes one frame. It is well-formed below the message it is about: sequence
//! numbers fit, queue pairs, tokens and keys exist, the ICRC is right. So what
//! peers may say to each other and when is reached, and not only whether their
//! octets parse.

use std::sync::OnceLock;

use smolsmc_cdc::CdcMessage;
use smolsmc_clc::option::OPTION;
use smolsmc_decode::{Capture, Frame, Icrc};
use smolsmc_roce::packet::{Aeth, Bth, Ext, Opcode, PartialPacket, Reth, Syndrome};
use smolsmc_wire::{Msn, Psn};

use super::decode::Told;
use super::octets::Octets;
use super::world::{World, header_len, pick, segment_of};
use build::{Packet, cdc_octets, clc_octets, llc_octets, roce_frame, tcp_frame};

mod build;
mod seed;

pub use seed::seed;

/// The captures that conversations begin with: two NICs each and links that go
/// and come, five connections in one group, a message of nearly each kind with
/// an orderly end.
pub const CAPTURES: [&[u8]; 3] = [
    include_bytes!("../../vectors/linux612/linux612-relink-request-add-link.pcap"),
    include_bytes!("../../vectors/linux612/linux612-subsequent-contacts.pcap"),
    include_bytes!("../../vectors/linux612/linux612-idle-teardown.pcap"),
];

/// Frames of the capture that are told at most, less one.
const MAX_PREFIX: u8 = 64;

/// Operations of one input that are carried out.
const MAX_OPERATIONS: usize = 32;

/// The longest payload of an operation.
const MAX_PAYLOAD: u16 = 4095;

/// Nanoseconds from one hostile frame to the next.
const STEP_NS: u64 = 1000;

/// A captured frame: time, original length, octets.
type Captured = (u64, usize, Vec<u8>);

/// The frames of each capture, read once.
fn captured(index: usize) -> &'static [Captured] {
    static FRAMES: OnceLock<Vec<Vec<Captured>>> = OnceLock::new();
    let all = FRAMES.get_or_init(|| CAPTURES.into_iter().map(read).collect());
    &all[index % all.len()]
}

fn read(file: &[u8]) -> Vec<Captured> {
    let mut capture = Capture::new(file).expect("a capture of ours");
    let mut frames = Vec::new();
    while let Some(frame) = capture.next_frame().expect("a capture of ours") {
        frames.push((frame.time_ns, frame.original_len, frame.octets.to_vec()));
    }
    frames
}

/// What an operation makes of its payload: the low four bits of its first octet.
mod operation {
    pub(super) const TCP: u8 = 0;
    pub(super) const TCP_ANY: u8 = 1;
    pub(super) const CLC: u8 = 2;
    pub(super) const SYN: u8 = 3;
    pub(super) const SEND: u8 = 4;
    pub(super) const SEND_PART: u8 = 5;
    pub(super) const CDC: u8 = 6;
    pub(super) const LLC: u8 = 7;
    pub(super) const WRITE: u8 = 8;
    pub(super) const WRITE_PART: u8 = 9;
    pub(super) const ACK: u8 = 10;
    pub(super) const OPCODE: u8 = 11;
    pub(super) const FRAME: u8 = 12;
    pub(super) const AGAIN: u8 = 13;
    pub(super) const CUT: u8 = 14;
    pub(super) const JUMP: u8 = 15;

    /// Bits beside those of the operation.
    pub(super) const TAGGED: u8 = 0x10;
    pub(super) const WRONG_ICRC: u8 = 0x20;
}

/// A conversation that turns hostile.
///
/// Asserts: every report is sound as for a capture file; frames of ours have the
/// ICRC that they were given; the kernels' own frames break no rule.
pub fn frames(data: &[u8]) {
    let mut more = Octets(data);
    let (capture, count) = (more.u8(), more.u8());
    let mut talk = Talk::default();
    for (time_ns, original_len, octets) in captured(capture.into()).iter().take((count % MAX_PREFIX).into()) {
        talk.time_ns = *time_ns;
        talk.begin(octets, *original_len);
    }
    for _ in 0..MAX_OPERATIONS {
        if more.is_empty() {
            break;
        }
        let (operation, choice) = (more.u8(), more.u8());
        let len = more.u16() & MAX_PAYLOAD;
        let payload = more.take(len.into());
        talk.carry_out(operation, choice, payload);
    }
    talk.told.finish();
}

#[derive(Default)]
struct Talk {
    world: World,
    told: Told,
    time_ns: u64,
    frames: u64,
    /// What was told, for repetition.
    sent: Vec<Vec<u8>>,
    /// Octets to keep of the next frame.
    cut: Option<usize>,
}

impl Talk {
    /// Tells the decoder of a frame between the kernels, whose report other tests
    /// look at.
    fn begin(&mut self, octets: &[u8], original_len: usize) {
        self.frames += 1;
        self.world.learn(octets);
        let violations =
            self.told.unseen(&Frame { number: self.frames, time_ns: self.time_ns, original_len, octets });
        assert!(violations.is_empty(), "{violations:?}");
        self.sent.push(octets.to_vec());
    }

    /// Tells the decoder of a hostile frame; what it says of the ICRC.
    fn tell(&mut self, octets: &[u8], original_len: usize) -> Option<Icrc> {
        self.frames += 1;
        self.world.learn(octets);
        let original_len = original_len.max(octets.len());
        let kept = self.cut.take().map_or(octets, |len| &octets[..len.min(octets.len())]);
        let frame = Frame { number: self.frames, time_ns: self.time_ns, original_len, octets: kept };
        let report = self.told.frame(&frame);
        self.sent.push(octets.to_vec());
        report.icrc
    }

    fn carry_out(&mut self, operation: u8, choice: u8, payload: &[u8]) {
        use operation::*;
        self.time_ns += STEP_NS;
        match operation & 0x0f {
            AGAIN => {
                let repeated = usize::from(choice).checked_rem(self.sent.len());
                let Some(frame) = repeated.and_then(|index| self.sent.get(index)).cloned() else { return };
                self.tell(&frame, frame.len());
            }
            CUT => self.cut = Some(usize::from(choice)),
            JUMP => {
                let by = Octets(payload).u32();
                let targets = self.world.targets.len();
                let Some(index) = usize::from(choice).checked_rem(targets) else { return };
                let target = &mut self.world.targets[index];
                target.next = target.next.add(by);
            }
            FRAME => drop(self.tell(payload, payload.len() + usize::from(choice))),
            TCP | TCP_ANY | CLC | SYN => {
                let Some(frame) = self.segment(operation & 0x0f, choice, payload) else { return };
                self.tell(&frame, frame.len());
            }
            _ => self.packet(operation, choice, payload),
        }
    }

    fn segment(&mut self, operation: u8, choice: u8, payload: &[u8]) -> Option<Vec<u8>> {
        const ACK: u8 = 0x10;
        let mut more = Octets(payload);
        if operation == operation::SYN {
            let (flags, port, seq) = (more.u8(), more.u8(), more.u32());
            return self.syn(choice, flags, port, seq, &OPTION);
        }
        let flow = pick(&self.world.flows, choice)?;
        Some(match operation {
            operation::CLC => tcp_frame(&flow, 0, ACK, &[], &clc_octets(more)),
            operation::TCP_ANY => {
                let (offset, flags, options) = (more.u16() as i16, more.u8(), more.u8());
                let options = more.take(usize::from(options & 0x0a) * 4);
                tcp_frame(&flow, offset.into(), flags, options, more.0)
            }
            _ => tcp_frame(&flow, 0, ACK, &[], payload),
        })
    }

    /// A SYN from a port that may be new, or the SYN-ACK of a flow.
    fn syn(&mut self, choice: u8, flags: u8, port: u8, seq: u32, option: &[u8]) -> Option<Vec<u8>> {
        let mut flow = pick(&self.world.flows, choice)?;
        let answer = flags & 0x10 != 0;
        let own_port = if answer { &mut flow.dst.1 } else { &mut flow.src.1 };
        *own_port = own_port.wrapping_add(port.into());
        flow.next = seq;
        let padded = [&[1, 1], option].concat();
        let options = if flags & 0x80 != 0 { &padded[..] } else { &[] };
        Some(tcp_frame(&flow, 0, flags & 0x1d | 0x02, options, &[]))
    }

    fn packet(&mut self, operation: u8, choice: u8, payload: &[u8]) {
        let Some(target) = pick(&self.world.targets, choice) else { return };
        let mut more = Octets(payload);
        let reth = |more: &mut Octets<'_>| {
            let (rkey, address) = pick(&self.world.rmbs, more.u8()).unwrap_or_default();
            let vaddr = address.wrapping_add(u64::from(more.u32()));
            Reth { vaddr, rkey, dma_len: more.u32() }
        };
        let (opcode, ext, payload) = match operation & 0x0f {
            operation::SEND => (Opcode::SEND_ONLY, Ext::None, payload.to_vec()),
            operation::SEND_PART => {
                let parts = [Opcode::SEND_FIRST, Opcode::SEND_MIDDLE, Opcode::SEND_LAST];
                (parts[usize::from(more.u8() % 3)], Ext::None, more.0.to_vec())
            }
            operation::CDC => (Opcode::SEND_ONLY, Ext::None, cdc_octets(more, &self.world.tokens).to_vec()),
            operation::LLC => (Opcode::SEND_ONLY, Ext::None, llc_octets(more)),
            operation::WRITE => {
                let reth = reth(&mut more);
                (Opcode::WRITE_ONLY, Ext::Reth(reth), more.0.to_vec())
            }
            operation::WRITE_PART => match more.u8() % 3 {
                0 => {
                    let reth = reth(&mut more);
                    (Opcode::WRITE_FIRST, Ext::Reth(reth), more.0.to_vec())
                }
                1 => (Opcode::WRITE_MIDDLE, Ext::None, more.0.to_vec()),
                _ => (Opcode::WRITE_LAST, Ext::None, more.0.to_vec()),
            },
            operation::ACK => {
                let aeth = Aeth { syndrome: Syndrome::from_octet(more.u8()), msn: Msn::new(more.u32()) };
                (Opcode::ACK, Ext::Aeth(aeth), more.0.to_vec())
            }
            _ => {
                let opcode = Opcode(more.u8());
                let Ok(ext) = Ext::parse(opcode, more.0) else { return };
                more.take(ext.wire_len());
                (opcode, ext, more.0.to_vec())
            }
        };
        let bth = Bth::new(opcode, target.qpn, target.next);
        let packet = Packet { bth, ext, payload: &payload, tagged: operation & operation::TAGGED != 0 };
        let mut frame = roce_frame(target.gid, &packet);
        let wrong = operation & operation::WRONG_ICRC != 0;
        if let Some(last) = frame.last_mut().filter(|_| wrong) {
            *last ^= 1;
        }
        let whole = self.cut.is_none_or(|cut| cut >= frame.len());
        let said = self.tell(&frame, frame.len());
        if whole {
            assert_eq!(said, Some(if wrong { Icrc::Bad } else { Icrc::Good }));
        }
    }
}

/// PSNs from `next` to that of a packet, for the seeds.
fn jump_to(next: Psn, psn: Psn) -> u32 {
    psn.distance_from(next) as u32
}

/// Whether a payload is a CDC message of the canonical form.
fn as_cdc(payload: &[u8]) -> Option<CdcMessage> {
    CdcMessage::parse(payload).ok()
}

/// The parts of a frame that seeds are made from.
fn parts(octets: &[u8]) -> Option<(smolsmc_roce::packet::Ipv4Header, &[u8], &[u8])> {
    let (ip, segment) = segment_of(octets)?;
    Some((ip, segment, segment.get(header_len(segment)..)?))
}

/// The whole RoCE packet of a frame.
fn packet_of(octets: &[u8]) -> Option<PartialPacket<'_>> {
    PartialPacket::parse(octets, octets.len()).ok().flatten().filter(|packet| !packet.is_cut())
}
