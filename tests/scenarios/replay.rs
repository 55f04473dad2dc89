//! Captured RC traffic fed into our responder: it must acknowledge what the
//! kernel acknowledged, count messages as it did, and end with the same memory.
//!
//! Per link and direction, one side's requests are given to a queue pair of ours
//! that stands where the kernel's stood. Numbers a NIC chooses itself (QPN, rkey,
//! address) are translated, everything else is as captured.

use std::collections::BTreeMap;
use std::path::Path;

use smolsmc_clc::SmcrTerms;
use smolsmc_decode::Frame;
use smolsmc_llc::Body;
use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
use smolsmc_roce::packet::{Ext, Operation, Reth, RocePacket, Syndrome};
use smolsmc_tests::vectors::{each_frame, linux612};
use smolsmc_verbs::*;
use smolsmc_wire::{Gid, Instant, Mac, Msn, MtuCode, Psn, Qpn, Rkey};

use crate::captures::tcp_segment;

/// One end of a link, as CLC or ADD LINK announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    gid: Gid,
    qpn: Qpn,
    psn: Psn,
}

/// Octets of a receive: the largest LLC message.
const RECEIVE_LEN: u32 = 8192;

/// Receives posted, as Linux posts them.
const RECEIVES: u32 = 48;

/// Where our NIC is.
const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };

const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

const NOW: Instant = Instant::ZERO;

/// The capture with frames left out in the middle: two directions of it can be
/// replayed only so far.
const INCOMPLETE: &str = "second-link-group";

/// The links that a capture sets up, both ends of each.
fn links(path: &Path) -> Vec<[End; 2]> {
    let mut found = Vec::new();
    let (mut accepted, mut offered) = (None, None);
    each_frame(path, |frame| {
        let end = |t: &SmcrTerms| End { gid: t.gid, qpn: t.qpn, psn: t.psn };
        match clc_message(frame) {
            Some(smolsmc_clc::Message::Accept(accept)) if accept.is_first_contact() => {
                accepted = accept.smcr_terms().map(end);
            }
            Some(smolsmc_clc::Message::Confirm(confirm)) if confirm.is_first_contact() => {
                found.extend(accepted.take().zip(confirm.smcr_terms().map(end)).map(|(a, b)| [a, b]));
            }
            _ => {}
        }
        let Some((Body::AddLink(link), response)) = llc_message(frame) else { return };
        let end = End { gid: link.gid, qpn: link.qpn, psn: link.psn };
        match (response, link.rejected) {
            (false, _) => offered = Some(end),
            (true, true) => offered = None,
            (true, false) => found.extend(offered.take().map(|server| [end, server])),
        }
    });
    found
}

fn clc_message(frame: &Frame<'_>) -> Option<smolsmc_clc::Message> {
    let segment = tcp_segment(frame)?;
    let payload = segment.get(usize::from(segment[12] >> 4) * 4..)?;
    let header = smolsmc_clc::Header::parse(payload).ok()?;
    smolsmc_clc::Message::parse(payload.get(..header.message_len())?).ok()
}

fn llc_message(frame: &Frame<'_>) -> Option<(Body, bool)> {
    let packet = RocePacket::parse(frame.octets).ok()??;
    let is_send = packet.bth.opcode.facts()?.operation == Operation::Send;
    let message = smolsmc_llc::Message::parse(is_send.then_some(packet.payload)?).ok()?;
    Some((message.body, message.response))
}

/// What one side of a link sent, and what it was answered, in order.
#[derive(Default)]
struct Direction {
    frames: Vec<Vec<u8>>,
    cut: bool,
}

/// Requests from `from` to `to`, and the answers to them.
fn direction(path: &Path, from: End, to: End) -> Direction {
    let mut direction = Direction::default();
    each_frame(path, |frame| {
        let Ok(Some(part)) = smolsmc_roce::packet::PartialPacket::parse(frame.octets, frame.original_len)
        else {
            return;
        };
        let Some(bth) = part.bth else { return };
        let request = bth.opcode.is_request()
            && (part.ip.src_gid(), part.ip.dst_gid(), bth.dest_qpn) == (from.gid, to.gid, to.qpn);
        let answer = bth.opcode.is_response()
            && (part.ip.src_gid(), part.ip.dst_gid(), bth.dest_qpn) == (to.gid, from.gid, from.qpn);
        if request || answer {
            direction.cut |= part.is_cut();
            direction.frames.push(frame.octets.to_vec());
        }
    });
    direction
}

/// Memory of ours that stands for one the kernel had registered.
struct Stand {
    memory: MemHandle,
    keys: MrAttributes,
    /// The lowest address that was written.
    base: u64,
    /// What it must hold in the end.
    expected: Vec<u8>,
}

/// A queue pair of ours in the place of `to`.
struct Replay {
    nic: SoftNic,
    qp: QpHandle,
    qpn: Qpn,
    cq: CqHandle,
    receives: (MemHandle, MrAttributes),
    stands: BTreeMap<Rkey, Stand>,
    /// The write in progress: where its next packet goes.
    writing: Option<(Rkey, u64)>,
    /// The newest acknowledgement of ours.
    acked: Option<(Psn, Msn)>,
    /// All of them, by PSN.
    msns: BTreeMap<u32, Msn>,
    naks: u64,
    /// What SENDs brought, in their order.
    received: Vec<Vec<u8>>,
}

impl Replay {
    fn new(from: End, to: End, frames: &[Vec<u8>]) -> Self {
        let mut port = PortConfig::new(OUR_MAC, 1500);
        port.gids.push(GidEntry { gid: to.gid, kind: GidKind::RoCEv2, vlan: None });
        let mut config = Config::new([7; 32]);
        config.devices.push(DeviceConfig::new(vec![port]));
        let mut nic = SoftNic::new(&config).expect("a NIC");
        let pd = nic.alloc_pd(PORT.device).expect("a PD");
        let cq = nic.create_cq(PORT.device, 256, CompletionVector(0)).expect("a CQ");
        let capabilities = QpCapabilities {
            max_send_wr: 1,
            max_recv_wr: RECEIVES,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: 0,
        };
        let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).expect("a QP");
        let qpn = nic.qp(qp).expect("it is there").qpn;
        ready(&mut nic, qp, from);
        let receives = incoming(&mut nic, pd, (RECEIVES * RECEIVE_LEN) as usize, Access::LOCAL_WRITE);
        let stands = stands(&mut nic, pd, frames);
        let (acked, msns, naks, received, writing) = (None, BTreeMap::new(), 0, Vec::new(), None);
        let mut replay = Self { nic, qp, qpn, cq, receives, stands, writing, acked, msns, naks, received };
        for slot in 0..RECEIVES {
            replay.post_receive(slot);
        }
        replay
    }

    fn post_receive(&mut self, slot: u32) {
        let keys = self.receives.1;
        let addr = keys.iova + u64::from(slot * RECEIVE_LEN);
        let sges = [Sge { addr, len: RECEIVE_LEN, lkey: keys.lkey }];
        self.nic.post_recv(self.qp, &[RecvRequest { wr_id: slot.into(), sges: &sges }]).expect("room for it");
    }

    /// Gives us a captured request, with our numbers in it.
    fn request(&mut self, packet: &RocePacket<'_>) {
        let mut headers = packet.headers();
        headers.dst = OUR_MAC;
        headers.bth.dest_qpn = self.qpn;
        if let Ext::Reth(Reth { vaddr, rkey, dma_len }) = headers.ext {
            let stand = &self.stands[&rkey];
            let vaddr = stand.keys.iova + (vaddr - stand.base);
            headers.ext = Ext::Reth(Reth { vaddr, rkey: stand.keys.rkey, dma_len });
        }
        let mut frame = vec![0; headers.frame_len(packet.payload.len())];
        let len = headers.emit_with(packet.payload, &mut frame).expect("room for it");
        assert!(self.nic.claims(PORT, &frame[..len]));
        self.nic.take(NOW, PORT, &frame[..len]);
        self.answers();
        self.completions();
    }

    /// What our responder says.
    fn answers(&mut self) {
        while let Some(len) = self.nic.next_len(NOW, PORT) {
            let mut frame = vec![0; len];
            assert_eq!(self.nic.emit(NOW, PORT, &mut frame), len);
            let answer = RocePacket::parse(&frame).expect("a packet").expect("RoCE");
            answer.verify_icrc().expect("its ICRC is right");
            let aeth = answer.ext.aeth().expect("a responder only acknowledges here");
            match aeth.syndrome {
                Syndrome::Ack { credits } => {
                    assert_eq!(credits, 31, "no credits, as rxe");
                    self.acked = Some((answer.bth.psn, aeth.msn));
                    self.msns.insert(answer.bth.psn.value(), aeth.msn);
                }
                Syndrome::Nak { .. } => self.naks += 1,
                other => panic!("{other:?}"),
            }
        }
    }

    fn completions(&mut self) {
        let mut done = [Completion::EMPTY; 16];
        loop {
            let count = self.nic.poll_cq(self.cq, &mut done).expect("a CQ");
            for completion in &done[..count] {
                assert_eq!(completion.status, WcStatus::Success);
                let slot = u32::try_from(completion.wr_id).expect("a slot");
                let mut octets = vec![0; completion.byte_len as usize];
                let offset = (slot * RECEIVE_LEN) as usize;
                let span = self.nic.incoming(self.receives.0, offset, octets.len()).expect("its receive");
                span.copy_to(0, &mut octets);
                self.received.push(octets);
                self.post_receive(slot);
            }
            if count == 0 {
                return;
            }
        }
    }
}

fn incoming(nic: &mut SoftNic, pd: PdHandle, len: usize, access: Access) -> (MemHandle, MrAttributes) {
    let memory = nic.alloc_memory(len, MemoryUse::Incoming).expect("memory");
    let mr = nic.register(pd, memory, access).expect("a registration");
    (memory, nic.mr(mr).expect("its keys"))
}

fn ready(nic: &mut SoftNic, qp: QpHandle, from: End) {
    let init = InitAttributes { port: PORT.port, pkey_index: 0, access: Access::REMOTE_WRITE };
    let rtr = RtrAttributes {
        path_mtu: MtuCode::OCTETS_1024,
        destination_qpn: from.qpn,
        rq_psn: from.psn,
        max_dest_rd_atomic: 1,
        min_rnr_timer: 5,
        path: AddressVector {
            source_gid_index: 0,
            destination_gid: from.gid,
            destination_mac: Mac([2, 0, 0, 0, 0, 2]),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        },
    };
    let rts =
        RtsAttributes { timeout: 15, retry_count: 7, rnr_retry: 7, sq_psn: Psn::new(0), max_rd_atomic: 1 };
    for step in [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
    {
        nic.modify_qp(qp, step).expect("the next state");
    }
}

/// One memory per rkey that the frames name, over all they write through it,
/// with what it must hold in the end.
fn stands(nic: &mut SoftNic, pd: PdHandle, frames: &[Vec<u8>]) -> BTreeMap<Rkey, Stand> {
    let mut ranges: BTreeMap<Rkey, (u64, u64)> = BTreeMap::new();
    let reths = frames.iter().filter_map(|frame| RocePacket::parse(frame).ok()??.ext.reth());
    for reth in reths {
        let (low, high) = ranges.entry(reth.rkey).or_insert((u64::MAX, 0));
        *low = (*low).min(reth.vaddr);
        *high = (*high).max(reth.vaddr + u64::from(reth.dma_len));
    }
    let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
    let stand = |(rkey, (base, end)): (Rkey, (u64, u64))| {
        let len = usize::try_from(end - base).expect("a ring");
        let (memory, keys) = incoming(nic, pd, len, access);
        (rkey, Stand { memory, keys, base, expected: vec![0; len] })
    };
    ranges.into_iter().map(stand).collect()
}

/// What happened in one direction of one link.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    requests: u64,
    acks: u64,
    octets: u64,
    messages: u64,
    /// It ended before the frames did: a request is not in the capture.
    gap: bool,
}

fn replay(from: End, to: End, frames: &[Vec<u8>]) -> Outcome {
    let mut replay = Replay::new(from, to, frames);
    let mut outcome = Outcome::default();
    let mut expected = from.psn;
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for frame in frames {
        let packet = RocePacket::parse(frame).expect("a packet").expect("RoCE");
        let facts = packet.bth.opcode.facts().expect("known");
        if packet.bth.opcode.is_request() {
            outcome.requests += 1;
            replay.request(&packet);
            if packet.bth.psn == expected {
                expected = expected.add(1);
                outcome.octets += execute(&mut replay, &packet);
                if facts.operation == Operation::Send {
                    if facts.position.is_start() {
                        sent.push(Vec::new());
                    }
                    sent.last_mut().expect("a first packet came before").extend(packet.payload);
                }
            }
        } else if facts.operation == Operation::Ack {
            let aeth = packet.ext.aeth().expect("an AETH");
            if let Syndrome::Ack { .. } = aeth.syndrome {
                if !packet.bth.psn.is_before(expected) {
                    outcome.gap = true;
                    break;
                }
                outcome.acks += 1;
                let (ours, _) = replay.acked.expect("we acknowledged something");
                assert!(!ours.is_before(packet.bth.psn), "the kernel acknowledged {} first", packet.bth.psn);
                let msn = replay.msns.get(&packet.bth.psn.value());
                assert_eq!(msn, Some(&aeth.msn), "the same PSN comes with the same MSN");
            }
        }
    }
    assert_eq!(replay.acked.map(|(psn, _)| psn.add(1)), Some(expected), "all of it is acknowledged");
    assert!(replay.received == sent, "SENDs arrive whole and in order");
    outcome.messages += sent.len() as u64;
    for stand in replay.stands.values() {
        let mut memory = vec![0; stand.expected.len()];
        let span = replay.nic.incoming(stand.memory, 0, memory.len()).expect("all of it");
        assert_eq!(span.copy_to(0, &mut memory), stand.expected.len());
        assert!(memory == stand.expected, "memory differs");
    }
    outcome
}

/// What a request in order does to memory, by the rules and not by our NIC.
fn execute(replay: &mut Replay, packet: &RocePacket<'_>) -> u64 {
    if packet.bth.opcode.facts().is_none_or(|facts| facts.operation != Operation::Write) {
        return 0;
    }
    let (rkey, vaddr) = match packet.ext.reth() {
        Some(reth) => (reth.rkey, reth.vaddr),
        None => replay.writing.expect("a first packet came before"),
    };
    let stand = replay.stands.get_mut(&rkey).expect("an rkey of the capture");
    let at = usize::try_from(vaddr - stand.base).expect("inside");
    stand.expected[at..at + packet.payload.len()].copy_from_slice(packet.payload);
    replay.writing = Some((rkey, vaddr + packet.payload.len() as u64));
    packet.payload.len() as u64
}

#[test]
fn captured_requests_are_acknowledged_as_the_kernel_did() {
    let mut total = Outcome::default();
    let mut directions = 0;
    for path in linux612() {
        let mut gaps = 0;
        for [a, b] in links(&path) {
            for (from, to) in [(a, b), (b, a)] {
                let Direction { frames, cut } = direction(&path, from, to);
                if cut || frames.is_empty() {
                    continue; // payload is missing in the capture
                }
                let outcome = replay(from, to, &frames);
                total.requests += outcome.requests;
                total.acks += outcome.acks;
                total.octets += outcome.octets;
                total.messages += outcome.messages;
                gaps += usize::from(outcome.gap);
                directions += 1;
            }
        }
        assert_eq!(gaps, if path.to_string_lossy().contains(INCOMPLETE) { 2 } else { 0 }, "{path:?}");
    }
    // A filter that skips frames must not look like success.
    assert_eq!((directions, total.requests, total.acks), (48, 926, 686));
    assert_eq!((total.octets, total.messages), (115_112, 575));
}
