//! The way of a message allocates nothing: every kind of it, on a wire that
//! loses packets, over timeouts, RNR waits and failures.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Instant, Mac, MtuCode, Psn, Qpn};

/// Counts what is allocated. There is one test only in this program, and
/// nothing else runs while it looks.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const QPS: usize = 8;

struct Side {
    nic: SoftNic,
    cq: CqHandle,
    out: MrAttributes,
    into: MrAttributes,
    qps: Vec<QpHandle>,
}

fn gid(side: u8) -> Gid {
    Gid::from_ipv4([10, 9, 0, side + 1])
}

impl Side {
    fn new(side: u8) -> Self {
        let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, side + 1]), 9000);
        port.gids.push(GidEntry { gid: gid(side), kind: GidKind::RoCEv2, vlan: None });
        let mut config = Config::new([side + 1; 32]);
        config.devices.push(DeviceConfig::new(vec![port]));
        config.window = 16;
        let mut nic = SoftNic::new(&config).unwrap();
        let pd = nic.alloc_pd(DeviceId(0)).unwrap();
        let cq = nic.create_cq(DeviceId(0), 4096, CompletionVector(0)).unwrap();
        let out = nic.alloc_memory(1 << 16, MemoryUse::Outgoing).unwrap();
        let into = nic.alloc_memory(1 << 16, MemoryUse::Incoming).unwrap();
        let out = nic.register(pd, out, Access::REMOTE_READ).unwrap();
        let into = nic.register(pd, into, Access::all()).unwrap();
        let (out, into) = (nic.mr(out).unwrap(), nic.mr(into).unwrap());
        let capabilities = QpCapabilities {
            max_send_wr: 8,
            max_recv_wr: 8,
            max_send_sge: 2,
            max_recv_sge: 2,
            max_inline_data: 16,
        };
        let init = QpInit { pd, send_cq: cq, recv_cq: cq, capabilities };
        let qps = (0..QPS).map(|_| nic.create_qp(init).unwrap()).collect();
        Self { nic, cq, out, into, qps }
    }

    fn qpn(&self, n: usize) -> Qpn {
        self.nic.qp(self.qps[n]).unwrap().qpn
    }

    fn connect(&mut self, n: usize, side: u8, peer: Qpn) {
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: gid(1 - side),
            destination_mac: Mac([2, 0, 0, 0, 0, 2 - side]),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        let access = Access::REMOTE_WRITE | Access::REMOTE_READ;
        for transition in [
            QpTransition::Init(InitAttributes { port: PortNumber(1), pkey_index: 0, access }),
            QpTransition::ReadyToReceive(RtrAttributes {
                path_mtu: MtuCode::OCTETS_256,
                destination_qpn: peer,
                rq_psn: Psn::new(0xff_fff0),
                max_dest_rd_atomic: 2,
                min_rnr_timer: 1,
                path,
            }),
            QpTransition::ReadyToSend(RtsAttributes {
                timeout: 10,
                retry_count: 7,
                rnr_retry: 7,
                sq_psn: Psn::new(0xff_fff0),
                max_rd_atomic: 2,
            }),
        ] {
            self.nic.modify_qp(self.qps[n], transition).unwrap();
        }
    }

    /// One request of each kind on each queue pair, as far as there is room.
    fn post(&mut self, peer: (MrAttributes, MrAttributes)) {
        let (peer_out, peer_into) = peer;
        let from = [
            Sge { addr: self.out.iova, len: 400, lkey: self.out.lkey },
            Sge { addr: self.out.iova + 9000, len: 300, lkey: self.out.lkey },
        ];
        let to = [Sge { addr: self.into.iova, len: 700, lkey: self.into.lkey }];
        let write = SendOperation::Write { remote_addr: peer_into.iova, rkey: peer_into.rkey };
        let immediate = SendOperation::WriteWithImmediate {
            remote_addr: peer_into.iova,
            rkey: peer_into.rkey,
            immediate: [1; 4],
        };
        let read = SendOperation::Read { remote_addr: peer_out.iova, rkey: peer_out.rkey };
        for &qp in &self.qps {
            let _ = self.nic.post_recv(qp, &[RecvRequest { wr_id: 0, sges: &to }; 2]);
            for (operation, payload) in [
                (SendOperation::Send, Payload::Registered(&from)),
                (write, Payload::Registered(&from)),
                (write, Payload::Inline(b"inline")),
                (read, Payload::Registered(&to)),
                (immediate, Payload::Registered(&from)),
            ] {
                let request = SendRequest { wr_id: 0, operation, payload, signalled: true, solicited: true };
                let _ = self.nic.post_send(qp, &[request]);
            }
        }
    }
}

#[test]
fn the_way_of_a_message_allocates_nothing() {
    let mut sides = [Side::new(0), Side::new(1)];
    for n in 0..QPS {
        let qpns = [sides[0].qpn(n), sides[1].qpn(n)];
        sides[0].connect(n, 0, qpns[1]);
        sides[1].connect(n, 1, qpns[0]);
    }
    let peers = [(sides[1].out, sides[1].into), (sides[0].out, sides[0].into)];
    let mut buffer = vec![0; 9100];
    let mut completions = vec![Completion::EMPTY; 64];
    let (mut now, mut frames, mut done, mut chance) = (Instant::ZERO, 0_u64, 0, 1_u32);

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for round in 0..400 {
        now = now + Duration::from_micros(500);
        if round == 350 {
            // The end: what is posted is flushed, and one side refuses.
            let qp = sides[0].qps[0];
            sides[0].nic.fail_qp(qp).unwrap();
        }
        for from in 0..2 {
            sides[from].post(peers[from]);
            for _ in 0..200 {
                let Some(len) = sides[from].nic.next_len(now, PORT) else { break };
                assert_eq!(sides[from].nic.emit(now, PORT, &mut buffer), len);
                frames += 1;
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if chance >> 28 != 0 {
                    let frame = &buffer[..len];
                    assert!(sides[1 - from].nic.claims(PORT, frame));
                    sides[1 - from].nic.take(now, PORT, frame);
                }
            }
            let side = &mut sides[from];
            side.nic.run_timers(now);
            side.nic.arm_cq(side.cq, ArmFor::Next).unwrap();
            done += side.nic.poll_cq(side.cq, &mut completions).unwrap();
            while side.nic.next_notification().is_some() || side.nic.next_event().is_some() {}
        }
    }
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;

    assert_eq!(allocated, 0);
    let counters = sides[0].nic.counters();
    assert!(frames > 10_000 && done > 2_000, "{frames} {done}");
    assert!(counters.retransmitted > 100 && counters.timeouts > 0, "{counters:?}");
    assert!(counters.naks_received.sequence > 0 && counters.naks_received.rnr > 0, "{counters:?}");
    assert!(counters.read_responses_lost > 0 && counters.flushed > 0, "{counters:?}");
}
