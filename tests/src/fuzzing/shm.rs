//! A NIC over shared memory whose peer writes what the octets say into every
//! word it can reach, between any calls.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;

use smolsmc_shm::rogue::{FalseQp, Rogue, RogueOpening};
use smolsmc_shm::{Config, Opening, PortConfig, ShmNic, ShmPort};
use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Mac, MtuCode, Psn, Qpn, Rkey};
use smoltcp::phy::{Device, RxToken, TxToken};

use super::octets::Octets;

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const RKEY: u32 = 0x1234_5675;
const IOVA: u64 = 0x10_0000;
const PEER_QPN: u32 = 0x77_7773;
const LEN: usize = 8192;
const WR: u32 = 8;
const OPERATIONS_MAX: usize = 96;

struct World {
    nic: ShmNic,
    ethernet: ShmPort,
    rogue: Rogue,
    pd: PdHandle,
    cq: CqHandle,
    qp: QpHandle,
    qpn: u32,
    /// What only its owner may write.
    outgoing: (MemHandle, MrHandle),
    incoming: (MemHandle, MrHandle),
    /// Requests and receives not completed.
    outstanding: BTreeSet<u64>,
    next_wr: u64,
}

/// Whatever the peer writes: no panic, no completion twice or of nothing,
/// memory that was not shared stays as it is, everything can be given back.
///
/// # Panics
/// If any of that does not hold.
pub fn shm(data: &[u8]) {
    let mut octets = Octets(data);
    let mut world = World::new();
    for _ in 0..OPERATIONS_MAX {
        if octets.is_empty() {
            break;
        }
        world.lie(&mut octets);
        world.act(&mut octets);
    }
    world.end();
}

impl World {
    fn new() -> Self {
        let (a, b) = UnixStream::pair().expect("a socket pair");
        let mut config = Config::new([7; 32]);
        let limits = &mut config.limits;
        (limits.incoming_octets, limits.message_slots, limits.frame_slots) = (1 << 16, 16, 32);
        (limits.max_qp, limits.max_cq, limits.max_mr, limits.max_memories) = (4, 2, 8, 8);
        (limits.max_pd, limits.max_wr, limits.max_sge, limits.max_inline) = (2, WR, 2, 64);
        config.patience = Duration::from_millis(1);
        config.withdrawal = Duration::from_micros(50);
        let gid = |number| Gid::from_ipv4([10, 9, 0, number]);
        let entry = GidEntry { gid: gid(1), kind: GidKind::RoCEv2, vlan: None };
        let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, 1]), entry);
        port.ethernet_mtu = 1500;
        let mut opening = Opening::new(config).expect("memory");
        opening.greet(a, port).expect("a greeting");
        let rogue = RogueOpening::greet(b, gid(2), LEN).expect("a greeting");
        let (mut nic, mut ports) = opening.complete(Duration::from_secs(5)).expect("a wire");
        let rogue = rogue.complete().expect("a wire");
        let pd = nic.alloc_pd(PORT.device).expect("a PD");
        let cq = nic.create_cq(PORT.device, 4 * WR, CompletionVector(0)).expect("a CQ");
        let outgoing = nic.alloc_memory(LEN, MemoryUse::Outgoing).expect("memory");
        let incoming = nic.alloc_memory(LEN, MemoryUse::Incoming).expect("memory");
        let out_mr = nic.register(pd, outgoing, Access::REMOTE_READ).expect("a registration");
        let in_mr = nic.register(pd, incoming, open()).expect("a registration");
        nic.outgoing(outgoing, 0, LEN).expect("in range").fill(0xc3);
        let capabilities = QpCapabilities {
            max_send_wr: WR,
            max_recv_wr: WR,
            max_send_sge: 2,
            max_recv_sge: 2,
            max_inline_data: 64,
        };
        let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).expect("a QP");
        let qpn = nic.qp(qp).expect("it is there").qpn.value();
        let ethernet = ports.remove(0);
        let (outgoing, incoming) = ((outgoing, out_mr), (incoming, in_mr));
        let outstanding = BTreeSet::new();
        let mut world =
            Self { nic, ethernet, rogue, pd, cq, qp, qpn, outgoing, incoming, outstanding, next_wr: 0 };
        world.connect();
        world.rogue.lend(RKEY, IOVA, 0, LEN as u64);
        world.pretend(8, 0);
        world
    }

    fn connect(&mut self) {
        let init = InitAttributes {
            port: PORT.port,
            pkey_index: 0,
            access: Access::REMOTE_WRITE | Access::REMOTE_READ,
        };
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: Gid::from_ipv4([10, 9, 0, 2]),
            destination_mac: Mac::default(),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: MtuCode::OCTETS_4096,
            destination_qpn: Qpn::new(PEER_QPN),
            rq_psn: Psn::new(7),
            max_dest_rd_atomic: 2,
            min_rnr_timer: 1,
            path,
        };
        let rts =
            RtsAttributes { timeout: 1, retry_count: 1, rnr_retry: 7, sq_psn: Psn::new(7), max_rd_atomic: 2 };
        for step in
            [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
        {
            self.nic.modify_qp(self.qp, step).expect("a step of its life");
        }
    }

    fn pretend(&self, posted: u32, answered: u32) {
        let false_qp = FalseQp { qpn: PEER_QPN, peer_qpn: self.qpn, psn: 7, posted, answered };
        self.rogue.pretend(&false_qp);
    }

    /// One thing the peer says.
    fn lie(&mut self, octets: &mut Octets<'_>) {
        match octets.u8() % 12 {
            0 => self.rogue.set(octets.u32() as usize, octets.u32()),
            1 => {
                let (at, shift) = (octets.u64(), octets.u8());
                self.rogue.lend(RKEY, IOVA, at >> (shift % 64), octets.u64() >> (shift / 4));
            }
            2 => self.pretend(octets.u16().into(), octets.u8().into()),
            3..=6 => {
                let (kind, flags, len) = (1 + u32::from(octets.u8() % 6), octets.u8() % 8, octets.u8() % 64);
                let life = self.rogue.life_of(self.qpn);
                let header = [
                    (kind << 24) | self.qpn,
                    (u32::from(len) << 16) | u32::from(flags),
                    (life << 16) | u32::from(octets.u8()),
                    u32::from(octets.u8()),
                ];
                let payload = octets.array::<16>();
                self.rogue.message(header, &payload, 1 + u32::from(len > 44));
            }
            7 => {
                let header = [octets.u32(), octets.u32(), octets.u32(), octets.u32()];
                self.rogue.message(header, &[], u32::from(octets.u8()));
            }
            8 => self.rogue.consume(octets.u8().into()),
            9 => self.rogue.stand_in_gate(octets.u8().into()),
            10 => {
                let len = octets.u16();
                self.rogue.frame(
                    [0x6574_6801, len.into(), 0, 0],
                    &octets.array::<20>(),
                    1 + u32::from(len) / 60,
                );
            }
            _ => self.rogue.scribble(octets.u16().into(), &octets.array::<8>()),
        }
    }

    /// One thing its victim does.
    fn act(&mut self, octets: &mut Octets<'_>) {
        let what = octets.u8();
        let len = u32::from(octets.u8()) * 40;
        match what % 12 {
            0 => {
                self.post(SendOperation::Write { remote_addr: IOVA + u64::from(len), rkey: Rkey(RKEY) }, len);
            }
            1 => self.post(SendOperation::Send, len),
            2 => self.post(SendOperation::Read { remote_addr: IOVA, rkey: Rkey(RKEY) }, len),
            3 => {
                let (remote_addr, rkey) = (IOVA, Rkey(RKEY));
                self.post(SendOperation::WriteWithImmediate { remote_addr, rkey, immediate: [1; 4] }, len);
            }
            4 => self.receive(len),
            5 => drop(self.nic.arm_cq(self.cq, ArmFor::Next)),
            6 => {
                let frame = self.ethernet.receive(smoltcp::time::Instant::ZERO);
                if let Some((frame, _)) = frame {
                    frame.consume(<[u8]>::len);
                }
                self.ethernet.arm();
            }
            7 => {
                let token = self.ethernet.transmit(smoltcp::time::Instant::ZERO);
                if let Some(token) = token {
                    token.consume(len as usize, |octets| octets.fill(1));
                }
            }
            8 => drop(self.nic.next_event()),
            9 if what < 64 => {
                self.nic.modify_qp(self.qp, QpTransition::Reset).expect("from any state");
                self.outstanding.clear();
                while self.nic.poll_cq(self.cq, &mut [Completion::EMPTY]) != Ok(0) {}
                self.connect();
            }
            9 if what >= 128 => {
                let octets = [what; LEN];
                let some = octets.get(..len as usize).unwrap_or(&octets);
                self.nic.write_now(self.qp, IOVA + u64::from(len), Rkey(RKEY), some);
            }
            10 if what >= 128 => drop(self.nic.arm_cq_after(self.cq, len as u16)),
            10 if what < 64 => {
                if self.nic.mr(self.incoming.1).is_err() {
                    return;
                }
                self.nic.deregister(self.incoming.1).expect("it is there");
                if let Ok(mr) = self.nic.register(self.pd, self.incoming.0, open()) {
                    self.incoming.1 = mr;
                    return;
                }
                // The peer may still be writing there: it is not used again. Whoever stays
                // inside each time uses up all there is, and no more.
                let memory = match self.nic.alloc_memory(LEN, MemoryUse::Incoming) {
                    Ok(memory) => memory,
                    Err(error) => {
                        assert!(matches!(error, VerbsError::Exhausted(_)), "{error}");
                        return;
                    }
                };
                self.nic.free_memory(self.incoming.0).expect("nobody uses it");
                self.incoming = (memory, self.nic.register(self.pd, memory, open()).expect("a registration"));
            }
            _ => self.poll(),
        }
    }

    fn post(&mut self, operation: SendOperation, len: u32) {
        let mr =
            if matches!(operation, SendOperation::Read { .. }) { self.incoming.1 } else { self.outgoing.1 };
        let Ok(keys) = self.nic.mr(mr) else { return };
        let sges = [Sge { addr: keys.iova, len, lkey: keys.lkey }];
        self.next_wr += 1;
        let request = SendRequest {
            wr_id: self.next_wr,
            operation,
            payload: Payload::Registered(&sges),
            signalled: true,
            solicited: true,
        };
        if self.nic.post_send(self.qp, &[request]).is_ok() {
            self.outstanding.insert(self.next_wr);
        }
    }

    fn receive(&mut self, len: u32) {
        let Ok(keys) = self.nic.mr(self.incoming.1) else { return };
        let sges = [Sge { addr: keys.iova, len, lkey: keys.lkey }];
        self.next_wr += 1;
        if self.nic.post_recv(self.qp, &[RecvRequest { wr_id: self.next_wr, sges: &sges }]).is_ok() {
            self.outstanding.insert(self.next_wr);
        }
    }

    fn poll(&mut self) {
        let mut done = [Completion::EMPTY; 4];
        let count = self.nic.poll_cq(self.cq, &mut done).expect("a CQ");
        for completion in &done[..count] {
            assert!(self.outstanding.remove(&completion.wr_id), "a completion twice, or of nothing");
        }
    }

    fn end(mut self) {
        let octets = self.nic.outgoing(self.outgoing.0, 0, LEN).expect("in range");
        assert!(octets.iter().all(|octet| *octet == 0xc3), "memory that was not shared");
        self.nic.modify_qp(self.qp, QpTransition::Error).expect("from any state");
        for _ in 0..2 * WR {
            self.poll();
        }
        let overflowed = self.nic.counters().cq_overflows > 0;
        assert!(overflowed || self.outstanding.is_empty(), "every request completes: {:?}", self.outstanding);
        self.nic.destroy_qp(self.qp).expect("it is there");
        self.nic.destroy_cq(self.cq).expect("nobody uses it");
        for (memory, mr) in [self.outgoing, self.incoming] {
            let _ = self.nic.deregister(mr);
            self.nic.free_memory(memory).expect("nobody uses it");
        }
        self.nic.dealloc_pd(self.pd).expect("nobody uses it");
    }
}

const fn open() -> Access {
    Access::LOCAL_WRITE.union(Access::REMOTE_WRITE).union(Access::REMOTE_READ)
}
