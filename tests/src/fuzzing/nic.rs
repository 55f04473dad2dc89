//! Two software NICs that do what the octets say: requests, receives, frames
//! delivered, lost, repeated, changed or made up, state changes, time.

use std::collections::BTreeSet;

use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
use smolsmc_roce::packet::{
    Aeth, AtomicAckEth, AtomicEth, Bth, Ext, ExtKind, FrameHeaders, Ieth, ImmDt, IpPath, Opcode, Reth,
    RocePacket, Syndrome,
};
use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Instant, Mac, Msn, MtuCode, Psn, Qpn, Rkey};

use super::octets::Octets;
use super::under_way::UnderWay;

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const QPS: usize = 2;
const MEMORY_LEN: usize = 2048;
const WR: u32 = 8;
const FRAMES_MAX: usize = 16;
const OPERATIONS_MAX: usize = 96;
/// Just before the wrap.
const FIRST_PSN: u32 = 0x00ff_fffc;

/// A NIC and everything on it.
struct Side {
    nic: SoftNic,
    mac: Mac,
    address: [u8; 4],
    pds: [PdHandle; 2],
    cq: CqHandle,
    qps: [QpHandle; QPS],
    qpns: [Qpn; QPS],
    outgoing: (MemHandle, MrHandle),
    /// What the peer may write, in the first PD and, again, in the second.
    incoming: MemHandle,
    open: [MrHandle; 2],
    /// Registered for local writing, but no receive names it: stays zero.
    quiet: (MemHandle, MrHandle),
    /// Requests not completed, by number, and the queue pair they are on.
    outstanding: BTreeSet<(u64, QpHandle)>,
}

struct World {
    sides: [Side; 2],
    frames: UnderWay,
    now: Instant,
    next_wr: u64,
}

/// Any sequence of calls and frames: no panic, no completion twice or of
/// nothing, no octet written that was not to be, everything can be given back.
///
/// # Panics
/// If any of that does not hold.
pub fn nic(data: &[u8]) {
    let mut octets = Octets(data);
    let mut world = World::new(octets.u8());
    octets.each(OPERATIONS_MAX, |octets| world.operation(octets));
    world.end();
}

impl Side {
    fn new(index: u8) -> Self {
        let (mac, address) = (Mac([2, 0, 0, 0, 0, index]), [10, 0, 0, index]);
        let mut port = PortConfig::new(mac, 1500);
        port.gid_table_len = 1;
        port.gids.push(GidEntry { gid: Gid::from_ipv4(address), kind: GidKind::RoCEv2, vlan: None });
        let mut config = Config::new([index; 32]);
        config.devices.push(DeviceConfig::new(vec![port]));
        let limits = &mut config.limits;
        (limits.max_qp, limits.max_cq, limits.max_mr, limits.max_memories) = (QPS as u32, 1, 8, 4);
        (limits.max_pd, limits.max_devices) = (2, 1);
        (limits.max_wr, limits.max_sge, limits.max_inline, limits.max_cqe) = (WR, 2, 64, 64);
        let mut nic = SoftNic::new(&config).expect("a NIC");
        let pds = [(); 2].map(|()| nic.alloc_pd(PORT.device).expect("a PD"));
        let cq = nic.create_cq(PORT.device, 64, CompletionVector(0)).expect("a CQ");
        let capabilities = QpCapabilities {
            max_send_wr: WR,
            max_recv_wr: WR,
            max_send_sge: 2,
            max_recv_sge: 2,
            max_inline_data: 64,
        };
        let init = QpInit { pd: pds[0], send_cq: cq, recv_cq: cq, capabilities };
        let qps = [(); QPS].map(|()| nic.create_qp(init).expect("a QP"));
        let qpns = qps.map(|qp| nic.qp(qp).expect("it is there").qpn);
        let memory = |nic: &mut SoftNic, used_for, access| {
            let memory = nic.alloc_memory(MEMORY_LEN, used_for).expect("memory");
            (memory, nic.register(pds[0], memory, access).expect("a registration"))
        };
        let outgoing = memory(&mut nic, MemoryUse::Outgoing, Access::empty());
        let all = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let (incoming, first) = memory(&mut nic, MemoryUse::Incoming, all);
        let second = nic.register(pds[1], incoming, all).expect("a registration");
        let quiet = memory(&mut nic, MemoryUse::Incoming, Access::LOCAL_WRITE);
        nic.outgoing(outgoing.0, 0, MEMORY_LEN).expect("ours").fill(0xa0 | index);
        let outstanding = BTreeSet::new();
        let open = [first, second];
        Self { nic, mac, address, pds, cq, qps, qpns, outgoing, incoming, open, quiet, outstanding }
    }

    /// Brings queue pair `q` up against that of `peer`; from RESET.
    fn connect(&mut self, q: usize, peer: ([u8; 4], Mac, Qpn), retries: u8) {
        let (address, mac, qpn) = peer;
        let access = Access::REMOTE_WRITE | Access::REMOTE_READ;
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: Gid::from_ipv4(address),
            destination_mac: mac,
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: MtuCode::OCTETS_256,
            destination_qpn: qpn,
            rq_psn: Psn::new(FIRST_PSN),
            max_dest_rd_atomic: 2,
            min_rnr_timer: 1,
            path,
        };
        let rts = RtsAttributes {
            timeout: 4,
            retry_count: retries & 7,
            rnr_retry: retries >> 3 & 7,
            sq_psn: Psn::new(FIRST_PSN),
            max_rd_atomic: 2,
        };
        let init = InitAttributes { port: PORT.port, pkey_index: 0, access };
        for step in
            [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
        {
            self.nic.modify_qp(self.qps[q], step).expect("the next state");
        }
    }

    /// An element anywhere, also where nothing is.
    fn sge(&self, octets: &mut Octets<'_>, incoming: bool) -> Sge {
        let mr = if incoming { self.open[usize::from(octets.u8() & 1)] } else { self.outgoing.1 };
        let keys = self.nic.mr(mr);
        let (offset, len) = (u64::from(octets.u16() & 0x0fff), u32::from(octets.u16() & 0x0fff));
        match keys {
            Ok(keys) => Sge { addr: keys.iova.wrapping_add(offset), len, lkey: keys.lkey },
            Err(_) => Sge { addr: offset, len, ..Sge::default() },
        }
    }

    fn poll(&mut self) {
        let mut done = [Completion::EMPTY; 8];
        while let Ok(count @ 1..) = self.nic.poll_cq(self.cq, &mut done) {
            for completion in &done[..count] {
                let known = self.outstanding.remove(&(completion.wr_id, completion.qp));
                assert!(known, "{completion:?} completes twice, or was never posted");
            }
        }
    }
}

impl World {
    fn new(retries: u8) -> Self {
        let mut sides = [Side::new(1), Side::new(2)];
        let peers = [1, 0].map(|other: usize| {
            let side = &sides[other];
            (side.address, side.mac, side.qpns)
        });
        for (side, (address, mac, qpns)) in sides.iter_mut().zip(peers) {
            for (q, qpn) in qpns.into_iter().enumerate() {
                side.connect(q, (address, mac, qpn), retries);
            }
        }
        Self { sides, frames: UnderWay::new(FRAMES_MAX), now: Instant::from_micros(1), next_wr: 1 }
    }

    fn operation(&mut self, octets: &mut Octets<'_>) {
        let choice = octets.u8();
        let (side, q) = (usize::from(choice >> 7), usize::from(choice >> 6 & 1));
        match choice & 0x0f {
            0..=2 => self.post_send(side, q, octets),
            3 => self.post_recv(side, q, octets),
            4 | 5 => self.emit(side),
            6 | 7 => self.deliver(octets, true),
            8 => self.deliver(octets, false),
            9 => drop(self.frames.arrive(octets, true)),
            10 => self.spoil(octets),
            11 => self.make_up(side, q, octets),
            12 => self.pass_time(octets),
            13 => self.sides[side].poll(),
            14 => self.change(side, q, octets),
            _ => self.run(),
        }
    }

    fn post_send(&mut self, side: usize, q: usize, octets: &mut Octets<'_>) {
        let peer = &self.sides[1 - side];
        let how = octets.u8();
        let target = peer.nic.mr(peer.open[usize::from(how >> 6 & 1)]);
        let offset = u64::from(octets.u16() & 0x0fff);
        let (remote_addr, rkey) = match target {
            Ok(keys) if how & 0x20 == 0 => (keys.iova.wrapping_add(offset), keys.rkey),
            _ => (offset, Rkey(octets.u32())),
        };
        let operation = match how & 7 {
            0..=2 => SendOperation::Send,
            3 | 4 => SendOperation::Write { remote_addr, rkey },
            5 => SendOperation::WriteWithImmediate { remote_addr, rkey, immediate: *b"imm!" },
            _ => SendOperation::Read { remote_addr, rkey },
        };
        let this = &mut self.sides[side];
        let sges = [this.sge(octets, how & 7 >= 6), this.sge(octets, how & 7 >= 6)];
        let inline = [how; 64];
        let payload = match how >> 3 & 3 {
            0 => Payload::Inline(&inline[..usize::from(octets.u8() & 0x3f)]),
            count => Payload::Registered(&sges[..usize::from(count.min(2))]),
        };
        let request = SendRequest {
            wr_id: self.next_wr,
            operation,
            payload,
            signalled: how & 0x80 == 0,
            solicited: false,
        };
        let qp = this.qps[q];
        if this.nic.post_send(qp, &[request]).is_ok() {
            this.outstanding.insert((self.next_wr, qp));
        }
        self.next_wr += 1;
    }

    fn post_recv(&mut self, side: usize, q: usize, octets: &mut Octets<'_>) {
        let this = &mut self.sides[side];
        let sges = [this.sge(octets, true)];
        let qp = this.qps[q];
        if this.nic.post_recv(qp, &[RecvRequest { wr_id: self.next_wr, sges: &sges }]).is_ok() {
            this.outstanding.insert((self.next_wr, qp));
        }
        self.next_wr += 1;
    }

    fn emit(&mut self, side: usize) {
        let nic = &mut self.sides[side].nic;
        let Some(len) = nic.next_len(self.now, PORT) else { return };
        let mut frame = vec![0; len];
        let written = nic.emit(self.now, PORT, &mut frame);
        assert!(written <= len, "longer than announced");
        frame.truncate(written);
        if written > 0 {
            let packet = RocePacket::parse(&frame).expect("sound").expect("RoCE");
            packet.verify_icrc().expect("its ICRC is right");
            self.frames.send(1 - side, frame);
        }
    }

    fn deliver(&mut self, octets: &mut Octets<'_>, once: bool) {
        let Some((to, frame)) = self.frames.arrive(octets, once) else { return };
        self.take(to, &frame);
    }

    fn take(&mut self, to: usize, frame: &[u8]) {
        let nic = &mut self.sides[to].nic;
        let _ = nic.claims(PORT, frame);
        nic.take(self.now, PORT, frame);
    }

    /// Changes an octet of a frame or cuts it, and may mend the ICRC.
    fn spoil(&mut self, octets: &mut Octets<'_>) {
        let Some(frame) = self.frames.pick(octets) else { return };
        let (at, value) = (usize::from(octets.u8()), octets.u8());
        if at == 0xff {
            frame.truncate(usize::from(value));
            return;
        }
        if let Some(octet) = frame.get_mut(at) {
            *octet ^= value;
        }
        let mended = RocePacket::parse(frame).ok().flatten().filter(|_| value & 1 == 0).map(|packet| {
            let mut again = vec![0; packet.headers().frame_len(packet.payload.len())];
            let written = packet.headers().emit_with(packet.payload, &mut again).is_ok();
            (written, again)
        });
        if let Some((true, again)) = mended {
            *frame = again;
        }
    }

    /// A frame nobody sent, well-formed and with a right ICRC.
    fn make_up(&mut self, to: usize, q: usize, octets: &mut Octets<'_>) {
        let (victim, liar) = (&self.sides[to], &self.sides[1 - to]);
        let opcode = Opcode(octets.u8() & 0x1f);
        let psn = Psn::new(FIRST_PSN).add(u32::from(octets.u8())).sub(4);
        let how = octets.u8();
        let keys = victim.nic.mr(victim.open[usize::from(how & 1)]);
        let reth = Reth {
            vaddr: keys.map_or(0, |keys| keys.iova).wrapping_add(u64::from(octets.u16() & 0x0fff)),
            rkey: keys.map_or(Rkey(7), |keys| keys.rkey),
            dma_len: u32::from(octets.u16() & 0x0fff),
        };
        let aeth = Aeth { syndrome: Syndrome::from_octet(octets.u8()), msn: Msn::new(how.into()) };
        let ext = match opcode.ext_kind() {
            ExtKind::None => Ext::None,
            ExtKind::Reth => Ext::Reth(reth),
            ExtKind::RethImm => Ext::RethImm(reth, ImmDt([how; 4])),
            ExtKind::Imm => Ext::Imm(ImmDt([how; 4])),
            ExtKind::Ieth => Ext::Ieth(Ieth(reth.rkey)),
            ExtKind::Aeth => Ext::Aeth(aeth),
            ExtKind::AtomicEth => Ext::AtomicEth(AtomicEth([how; 28])),
            ExtKind::AtomicAck => Ext::AtomicAck(aeth, AtomicAckEth([how; 8])),
        };
        let mut bth = Bth::new(opcode, victim.qpns[q], psn);
        bth.ack_request = how & 2 != 0;
        let spoofed = if how & 4 != 0 { 9 } else { liar.address[3] };
        let ip = IpPath::V4 {
            src: [10, 0, 0, spoofed].into(),
            dst: victim.address.into(),
            tos: 0,
            ttl: 1,
            identification: 0,
        };
        let headers =
            FrameHeaders { dst: victim.mac, src: liar.mac, vlan: None, ip, src_port: 0xc000, bth, ext };
        let payload = vec![how; usize::from(octets.u16() % 600)];
        let mut frame = vec![0; headers.frame_len(payload.len())];
        let len = headers.emit_with(&payload, &mut frame).expect("room for it");
        self.take(to, &frame[..len]);
    }

    fn pass_time(&mut self, octets: &mut Octets<'_>) {
        // Backwards too: a clock may step.
        let step = u64::from(octets.u16());
        self.now = if step == 0 { Instant::ZERO } else { self.now + Duration::from_micros(step) };
        for side in &mut self.sides {
            side.nic.run_timers(self.now);
        }
    }

    fn change(&mut self, side: usize, q: usize, octets: &mut Octets<'_>) {
        let how = octets.u8();
        let peer = &self.sides[1 - side];
        let peer = (peer.address, peer.mac, peer.qpns[q]);
        let this = &mut self.sides[side];
        let qp = this.qps[q];
        match how & 7 {
            0 => drop(this.nic.modify_qp(qp, QpTransition::Error)),
            1 | 2 => {
                this.poll();
                this.nic.modify_qp(qp, QpTransition::Reset).expect("from every state");
                // What was posted is forgotten, without a completion.
                this.outstanding.retain(|&(_, on)| on != qp);
                this.connect(q, peer, how);
            }
            3 => drop(this.nic.fail_qp(qp)),
            4 => drop(this.nic.set_port_state(PORT, PortState::Down)),
            5 => drop(this.nic.set_port_state(PORT, PortState::Active)),
            6 => {
                let which = usize::from(how >> 3 & 1);
                let old = this.open[which];
                this.nic.deregister(old).expect("it is registered");
                assert_eq!(this.nic.mr(old), Err(VerbsError::NoSuch("MR")));
                let all = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
                this.open[which] =
                    this.nic.register(this.pds[which], this.incoming, all).expect("room for it");
            }
            _ => while this.nic.next_event().is_some() {},
        }
    }

    /// Lets both sides speak undisturbed, within bounds.
    fn run(&mut self) {
        for _ in 0..8 {
            self.emit(0);
            self.emit(1);
            for (to, frame) in self.frames.all() {
                self.take(to, &frame);
            }
        }
    }

    /// What must hold in the end.
    fn end(mut self) {
        for side in &mut self.sides {
            side.poll();
            let quiet = side.nic.incoming(side.quiet.0, 0, MEMORY_LEN).expect("all of it");
            assert!(quiet.iter().all(|&octet| octet == 0), "written where nobody may");
            let own = 0xa0 | side.address[3];
            let outgoing = side.nic.incoming(side.outgoing.0, 0, MEMORY_LEN).expect("all of it");
            assert!(outgoing.iter().all(|&octet| octet == own), "outgoing memory was written");
            for qp in side.qps {
                let attributes = side.nic.qp(qp).expect("it is there");
                assert!(attributes.send_outstanding <= WR && attributes.recv_posted <= WR);
                side.nic.destroy_qp(qp).expect("always");
            }
            side.nic.destroy_cq(side.cq).expect("no queue pair is left");
            for mr in [side.outgoing.1, side.quiet.1, side.open[0], side.open[1]] {
                side.nic.deregister(mr).expect("it is registered");
            }
            for memory in [side.outgoing.0, side.quiet.0, side.incoming] {
                side.nic.free_memory(memory).expect("it is not registered");
            }
            for pd in side.pds {
                side.nic.dealloc_pd(pd).expect("it is empty");
            }
        }
    }
}
