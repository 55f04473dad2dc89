//! Two NICs back to back, a clock that only moves when told, and a wire that
//! loses, repeats and changes what a test tells it to.

extern crate std;

mod answers;
mod conformance;
mod devices;
mod engine;
mod gone;
mod keys;
mod ladder;
mod life;
mod limits;
mod loss;
mod parts;
mod patience;
mod reads;
mod traffic;

use alloc::vec;
use alloc::vec::Vec;

use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Instant, Mac, MtuCode, Psn};

use super::*;
use crate::packet::*;

/// Octets of each side's two pieces of memory.
const LEN: usize = 1 << 18;

/// One end: a NIC with everything one queue pair needs.
struct Side {
    nic: SoftNic,
    port: RdmaPort,
    pd: PdHandle,
    send_cq: CqHandle,
    recv_cq: CqHandle,
    qp: QpHandle,
    out: MemHandle,
    out_mr: MrAttributes,
    into: MemHandle,
    into_mr: MrAttributes,
    into_handle: MrHandle,
}

/// How a pair is made.
#[derive(Clone, Copy)]
struct Setup {
    ethernet_mtu: u16,
    mtu: MtuCode,
    vlan: Option<u16>,
    ipv6: bool,
    psn: [u32; 2],
    window: u32,
    timeout: u8,
    retry_count: u8,
    rnr_retry: u8,
    access: Access,
    capabilities: QpCapabilities,
    reads: u8,
    cq_entries: u32,
    verify_icrc: bool,
}

const SETUP: Setup = Setup {
    ethernet_mtu: 9000,
    mtu: MtuCode::OCTETS_256,
    vlan: None,
    ipv6: false,
    psn: [0x10, 0xff_fff0],
    window: 128,
    timeout: 15,
    retry_count: 7,
    rnr_retry: 7,
    access: Access::REMOTE_WRITE.union(Access::REMOTE_READ),
    capabilities: QpCapabilities {
        max_send_wr: 64,
        max_recv_wr: 64,
        max_send_sge: 4,
        max_recv_sge: 4,
        max_inline_data: 64,
    },
    reads: 4,
    cq_entries: 256,
    verify_icrc: true,
};

const LOCAL: Access = Access::LOCAL_WRITE;
const ALL: Access = Access::all();

fn gid_of(side: usize, ipv6: bool) -> Gid {
    let last = side as u8 + 1;
    if ipv6 {
        Gid([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
    } else {
        Gid::from_ipv4([10, 9, 0, last])
    }
}

fn mac_of(side: usize) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, side as u8 + 1])
}

impl Side {
    fn new(side: usize, setup: &Setup) -> Self {
        let mut port = PortConfig::new(mac_of(side), setup.ethernet_mtu);
        let gid = gid_of(side, setup.ipv6);
        port.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: setup.vlan });
        let mut config = Config::new([side as u8 + 1; 32]);
        config.devices.push(DeviceConfig::new(vec![port]));
        config.window = setup.window;
        config.verify_icrc = setup.verify_icrc;
        config.limits =
            Limits { max_pd: 16, max_qp: 64, max_cq: 16, max_mr: 64, max_memories: 16, ..Limits::USUAL };
        Self::with(SoftNic::new(&config).unwrap(), setup)
    }

    fn with(mut nic: SoftNic, setup: &Setup) -> Self {
        let device = DeviceId(0);
        let pd = nic.alloc_pd(device).unwrap();
        let send_cq = nic.create_cq(device, setup.cq_entries, CompletionVector(0)).unwrap();
        let recv_cq = nic.create_cq(device, setup.cq_entries, CompletionVector(0)).unwrap();
        let out = nic.alloc_memory(LEN, MemoryUse::Outgoing).unwrap();
        let into = nic.alloc_memory(LEN, MemoryUse::Incoming).unwrap();
        let out_handle = nic.register(pd, out, Access::REMOTE_READ).unwrap();
        let into_handle = nic.register(pd, into, ALL).unwrap();
        let (out_mr, into_mr) = (nic.mr(out_handle).unwrap(), nic.mr(into_handle).unwrap());
        let qp = nic.create_qp(QpInit { pd, send_cq, recv_cq, capabilities: setup.capabilities }).unwrap();
        let port = RdmaPort { device, port: PortNumber(1) };
        for (i, octet) in nic.outgoing(out, 0, LEN).unwrap().iter_mut().enumerate() {
            *octet = pattern(i);
        }
        Self { nic, port, pd, send_cq, recv_cq, qp, out, out_mr, into, into_mr, into_handle }
    }

    fn qpn(&self) -> smolsmc_wire::Qpn {
        self.nic.qp(self.qp).unwrap().qpn
    }

    fn state(&self) -> QpState {
        self.nic.qp(self.qp).unwrap().state
    }

    /// A stretch of our outgoing memory.
    fn from(&self, offset: usize, len: usize) -> Sge {
        Sge { addr: self.out_mr.iova + offset as u64, len: len as u32, lkey: self.out_mr.lkey }
    }

    /// A stretch of our incoming memory.
    fn to(&self, offset: usize, len: usize) -> Sge {
        Sge { addr: self.into_mr.iova + offset as u64, len: len as u32, lkey: self.into_mr.lkey }
    }

    fn post(&mut self, wr_id: u64, operation: SendOperation, sges: &[Sge]) {
        self.try_post(wr_id, operation, Payload::Registered(sges)).unwrap();
    }

    fn try_post(
        &mut self,
        wr_id: u64,
        operation: SendOperation,
        payload: Payload<'_>,
    ) -> Result<(), PostError> {
        let request = SendRequest { wr_id, operation, payload, signalled: true, solicited: false };
        self.nic.post_send(self.qp, &[request])
    }

    fn receive(&mut self, wr_id: u64, sges: &[Sge]) {
        self.nic.post_recv(self.qp, &[RecvRequest { wr_id, sges }]).unwrap();
    }

    fn polled(&mut self, cq: CqHandle) -> Vec<Completion> {
        let mut out = [Completion::EMPTY; 256];
        let len = self.nic.poll_cq(cq, &mut out).unwrap();
        out[..len].to_vec()
    }

    /// What completed on the send side, as (request, status).
    fn sent(&mut self) -> Vec<(u64, WcStatus)> {
        self.polled(self.send_cq).iter().map(|c| (c.wr_id, c.status)).collect()
    }

    /// What completed on the receive side, as (receive, status, octets).
    fn received(&mut self) -> Vec<(u64, WcStatus, u32)> {
        self.polled(self.recv_cq).iter().map(|c| (c.wr_id, c.status, c.byte_len)).collect()
    }

    fn incoming(&self, offset: usize, len: usize) -> Vec<u8> {
        self.nic.incoming(self.into, offset, len).unwrap().to_vec()
    }

    /// The next frame, with its length announced right.
    fn emit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let len = self.nic.next_len(now, self.port)?;
        let mut frame = vec![0xee; len];
        match self.nic.emit(now, self.port, &mut frame) {
            0 => None,
            n => {
                assert_eq!(n, len, "the announced length");
                Some(frame)
            }
        }
    }
}

/// Octet `i` of outgoing memory.
fn pattern(i: usize) -> u8 {
    (i * 7 + i / 251) as u8
}

fn patterns(offset: usize, len: usize) -> Vec<u8> {
    (offset..offset + len).map(pattern).collect()
}

fn sealed(headers: &FrameHeaders, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; headers.frame_len(payload.len())];
    headers.emit_with(payload, &mut frame).unwrap();
    frame
}

/// What becomes of a frame on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrive,
    Lost,
    Twice,
}

/// A packet that was sent, as tests speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    from: usize,
    opcode: Opcode,
    /// Counted from the sender's first request PSN, or the peer's for responses.
    psn: i32,
    len: usize,
    ack_request: bool,
    ext: Ext,
}

struct Pair {
    sides: [Side; 2],
    now: Instant,
    setup: Setup,
    seen: Vec<Seen>,
}

impl Pair {
    fn new(setup: Setup) -> Self {
        let mut pair = Self {
            sides: [Side::new(0, &setup), Side::new(1, &setup)],
            now: Instant::from_millis(1),
            setup,
            seen: Vec::new(),
        };
        pair.connect();
        pair
    }

    fn usual() -> Self {
        Self::new(SETUP)
    }

    fn connect(&mut self) {
        for i in 0..2 {
            for transition in self.way_up(i) {
                let side = &mut self.sides[i];
                side.nic.modify_qp(side.qp, transition).unwrap();
            }
        }
    }

    /// From RESET to RTS.
    fn way_up(&self, i: usize) -> [QpTransition; 3] {
        let setup = &self.setup;
        let peer = 1 - i;
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: gid_of(peer, setup.ipv6),
            destination_mac: mac_of(peer),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        [
            QpTransition::Init(InitAttributes { port: PortNumber(1), pkey_index: 0, access: setup.access }),
            QpTransition::ReadyToReceive(RtrAttributes {
                path_mtu: setup.mtu,
                destination_qpn: self.sides[peer].qpn(),
                rq_psn: Psn::new(setup.psn[peer]),
                max_dest_rd_atomic: setup.reads,
                min_rnr_timer: 5,
                path,
            }),
            QpTransition::ReadyToSend(RtsAttributes {
                timeout: setup.timeout,
                retry_count: setup.retry_count,
                rnr_retry: setup.rnr_retry,
                sq_psn: Psn::new(setup.psn[i]),
                max_rd_atomic: setup.reads,
            }),
        ]
    }

    /// A WRITE from side 0 to `offset` of side 1's memory.
    fn write_op(&self, offset: usize) -> SendOperation {
        let mr = self.sides[1].into_mr;
        SendOperation::Write { remote_addr: mr.iova + offset as u64, rkey: mr.rkey }
    }

    /// A READ by side 0 from `offset` of side 1's outgoing memory.
    fn read_op(&self, offset: usize) -> SendOperation {
        let mr = self.sides[1].out_mr;
        SendOperation::Read { remote_addr: mr.iova + offset as u64, rkey: mr.rkey }
    }

    fn seen_as(&self, from: usize, frame: &[u8]) -> Seen {
        let packet = RocePacket::parse(frame).unwrap().expect("RoCE");
        packet.verify_icrc().unwrap();
        let requester = if packet.bth.opcode.is_request() { from } else { 1 - from };
        Seen {
            from,
            opcode: packet.bth.opcode,
            psn: packet.bth.psn.distance_from(Psn::new(self.setup.psn[requester])),
            len: packet.payload.len(),
            ack_request: packet.bth.ack_request,
            ext: packet.ext,
        }
    }

    /// What packets from `from` to the other side have in common.
    fn headers(&self, from: usize, opcode: Opcode, psn: Psn, ext: Ext) -> FrameHeaders {
        let (own, peer) = (self.sides[from].qpn(), self.sides[1 - from].qpn());
        let ip = match (gid_of(from, false).ipv4(), gid_of(1 - from, false).ipv4()) {
            (Some(src), Some(dst)) => {
                IpPath::V4 { src: src.into(), dst: dst.into(), tos: 0, ttl: 1, identification: 9 }
            }
            _ => unreachable!("IPv4"),
        };
        FrameHeaders {
            dst: mac_of(1 - from),
            src: mac_of(from),
            vlan: None,
            ip,
            src_port: source_port(own, peer),
            bth: Bth { ack_request: opcode.is_request(), ..Bth::new(opcode, peer, psn) },
            ext,
        }
    }

    /// A request of side 0 for side 1, made by hand: `ahead` of its first PSN.
    fn request(&self, opcode: Opcode, ahead: u32, ext: Ext, payload: &[u8]) -> Vec<u8> {
        let headers = self.headers(0, opcode, Psn::new(self.setup.psn[0]).add(ahead), ext);
        sealed(&headers, payload)
    }

    /// A response of side 1 for side 0, made by hand: `ahead` of the oldest
    /// request that is not complete.
    fn response(&self, opcode: Opcode, ahead: u32, syndrome: u8, payload: &[u8]) -> Vec<u8> {
        let qp = self.sides[0].nic.named_qp(self.sides[0].qp).unwrap();
        let psn = qp.req.psn(qp.req.una).add(ahead);
        let ext = match opcode.ext_kind() {
            ExtKind::Aeth => {
                let msn = smolsmc_wire::Msn::new(0);
                Ext::Aeth(Aeth { syndrome: Syndrome::from_octet(syndrome), msn })
            }
            _ => Ext::None,
        };
        sealed(&self.headers(1, opcode, psn, ext), payload)
    }

    /// Carries frames, one from each side in turn, until there are none.
    fn carry(&mut self, mut fate: impl FnMut(&Seen) -> Fate) {
        for _ in 0..100_000 {
            let mut idle = true;
            for from in 0..2 {
                let Some(frame) = self.sides[from].emit(self.now) else { continue };
                idle = false;
                let seen = self.seen_as(from, &frame);
                let fate = fate(&seen);
                self.seen.push(seen);
                let times = match fate {
                    Fate::Arrive => 1,
                    Fate::Lost => 0,
                    Fate::Twice => 2,
                };
                for _ in 0..times {
                    self.deliver(1 - from, &frame);
                }
            }
            if idle {
                return;
            }
        }
        panic!("frames without end");
    }

    fn deliver(&mut self, to: usize, frame: &[u8]) {
        let side = &mut self.sides[to];
        assert!(side.nic.claims(side.port, frame), "its own");
        side.nic.take(self.now, side.port, frame);
    }

    /// Carries everything without loss.
    fn settle(&mut self) {
        self.carry(|_| Fate::Arrive);
    }

    /// All frames of one side, without carrying them.
    fn collect(&mut self, from: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.sides[from].emit(self.now) {
            frames.push(frame);
        }
        frames
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for side in &mut self.sides {
            side.nic.run_timers(self.now);
        }
    }

    /// Opcodes and PSNs that `from` sent since this was last asked.
    fn trace(&mut self, from: usize) -> Vec<(Opcode, i32)> {
        let seen = core::mem::take(&mut self.seen);
        seen.iter().filter(|seen| seen.from == from).map(|seen| (seen.opcode, seen.psn)).collect()
    }
}

/// A RETH for side 1's incoming memory.
fn reth(pair: &Pair, offset: u64, dma_len: u32) -> Ext {
    let mr = pair.sides[1].into_mr;
    Ext::Reth(Reth { vaddr: mr.iova.wrapping_add(offset), rkey: mr.rkey, dma_len })
}

/// Brings a request to side 1 and returns what it answers.
fn answer_to(pair: &mut Pair, frame: &[u8]) -> Vec<Seen> {
    pair.deliver(1, frame);
    pair.collect(1).iter().map(|frame| pair.seen_as(1, frame)).collect()
}

fn syndromes(answers: &[Seen]) -> Vec<u8> {
    answers.iter().map(|seen| seen.ext.aeth().unwrap().syndrome.octet()).collect()
}

fn dropped(pair: &Pair, side: usize) -> Dropped {
    pair.sides[side].nic.counters().dropped
}
