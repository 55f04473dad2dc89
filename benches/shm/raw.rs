//! Verbs over shared memory: an RDMA WRITE, and behind it a SEND of 44 octets
//! that tells of it.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use smolsmc_shm::{Config, Opening, PortConfig, ShmNic};
use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Mac, MtuCode, Psn};

use super::end::End;

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const DEPTH: u32 = 64;
/// Receives posted with one call.
const REFILL: u32 = 16;
const RING: usize = 1 << 17;

pub(crate) struct Raw {
    nic: ShmNic,
    cq: CqHandle,
    qp: QpHandle,
    outgoing: MemHandle,
    incoming: MemHandle,
    out_keys: MrAttributes,
    in_keys: MrAttributes,
    slots: MrAttributes,
    peer: MrAttributes,
    posted: u64,
    used: Vec<u32>,
}

fn gid(number: u8) -> GidEntry {
    GidEntry { gid: Gid::from_ipv4([10, 9, 0, number]), kind: GidKind::RoCEv2, vlan: None }
}

/// Both ends of a wire, each greeted.
pub(crate) fn openings() -> [Opening; 2] {
    let (a, b) = UnixStream::pair().expect("a socket pair");
    [(1, a), (2, b)].map(|(number, socket)| {
        let mut config = Config::new([number; 32]);
        config.limits.incoming_octets = 1 << 24;
        let mut opening = Opening::new(config).expect("memory");
        let port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), gid(number));
        opening.greet(socket, port).expect("a greeting");
        opening
    })
}

fn side(mut nic: ShmNic) -> Raw {
    let pd = nic.alloc_pd(PORT.device).expect("a PD");
    let cq = nic.create_cq(PORT.device, 256, CompletionVector::default()).expect("a CQ");
    let mut memory = |len, used_for, access| {
        let memory = nic.alloc_memory(len, used_for).expect("memory");
        let mr = nic.register(pd, memory, access).expect("a registration");
        (memory, nic.mr(mr).expect("its keys"))
    };
    let (outgoing, out_keys) = memory(RING, MemoryUse::Outgoing, Access::empty());
    let both = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
    let (incoming, in_keys) = memory(RING, MemoryUse::Incoming, both);
    let (_, slots) = memory(DEPTH as usize * 64, MemoryUse::Incoming, Access::LOCAL_WRITE);
    let capabilities = QpCapabilities {
        max_send_wr: 64,
        max_recv_wr: DEPTH,
        max_send_sge: 1,
        max_recv_sge: 1,
        max_inline_data: 44,
    };
    let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).expect("a QP");
    let peer = in_keys;
    let used = Vec::with_capacity(DEPTH as usize);
    Raw { nic, cq, qp, outgoing, incoming, out_keys, in_keys, slots, peer, posted: 0, used }
}

impl Raw {
    pub(crate) fn pair() -> [Self; 2] {
        let opened = openings();
        let nic = |opening: Opening| opening.complete(Duration::from_secs(5)).expect("a wire").0;
        let mut sides = opened.map(|opening| side(nic(opening)));
        let facts = [0, 1].map(|n| (sides[n].nic.qp(sides[n].qp).expect("a QP").qpn, sides[n].in_keys));
        for (own, side) in sides.iter_mut().enumerate() {
            let (qpn, keys) = facts[1 - own];
            side.peer = keys;
            side.connect(qpn, 2 - own as u8);
        }
        sides
    }

    fn connect(&mut self, peer: smolsmc_wire::Qpn, number: u8) {
        let init = InitAttributes { port: PORT.port, pkey_index: 0, access: Access::REMOTE_WRITE };
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: gid(number).gid,
            destination_mac: Mac([2, 0, 0, 0, 0, number]),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: MtuCode::OCTETS_4096,
            destination_qpn: peer,
            rq_psn: Psn::new(7),
            max_dest_rd_atomic: 1,
            min_rnr_timer: 5,
            path,
        };
        let rts = RtsAttributes {
            timeout: 15,
            retry_count: 7,
            rnr_retry: 7,
            sq_psn: Psn::new(7),
            max_rd_atomic: 1,
        };
        for step in
            [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
        {
            self.nic.modify_qp(self.qp, step).expect("a step of its life");
        }
        self.used.extend(0..DEPTH);
        self.refill();
    }

    /// Posts all receives that were used.
    fn refill(&mut self) {
        let sge =
            |slot: u32| Sge { addr: self.slots.iova + u64::from(slot) * 64, len: 64, lkey: self.slots.lkey };
        for some in self.used.chunks(REFILL as usize) {
            let mut sges = [[Sge::default(); 1]; REFILL as usize];
            sges.iter_mut().zip(some).for_each(|(sges, slot)| *sges = [sge(*slot)]);
            let mut list = [RecvRequest { wr_id: 0, sges: &[] }; REFILL as usize];
            for ((request, sges), slot) in list.iter_mut().zip(&sges).zip(some) {
                *request = RecvRequest { wr_id: u64::from(*slot), sges };
            }
            self.nic.post_recv(self.qp, &list[..some.len()]).expect("room");
        }
        self.used.clear();
    }

    #[inline]
    pub(crate) fn write(&mut self, octets: &[u8]) {
        // Every tenth SEND is signalled, so that the queue empties.
        let signalled = self.posted.is_multiple_of(10);
        self.posted += 1;
        self.nic.outgoing(self.outgoing, 0, octets.len()).expect("in range").copy_from_slice(octets);
        let sges = [Sge { addr: self.out_keys.iova, len: octets.len() as u32, lkey: self.out_keys.lkey }];
        let write = SendRequest {
            wr_id: 1 << 32,
            operation: SendOperation::Write { remote_addr: self.peer.iova, rkey: self.peer.rkey },
            payload: Payload::Registered(&sges),
            signalled: false,
            solicited: false,
        };
        let word = [0xfe; 44];
        let send = SendRequest {
            wr_id: 1 << 32,
            operation: SendOperation::Send,
            payload: Payload::Inline(&word),
            signalled,
            solicited: true,
        };
        self.nic.post_send(self.qp, &[write, send]).expect("room");
    }

    /// Copies out what was written.
    #[inline]
    pub(crate) fn take(&mut self, octets: &mut [u8]) {
        let span = self.nic.incoming(self.incoming, 0, octets.len()).expect("in range");
        span.copy_to(0, octets);
        if self.used.len() >= REFILL as usize {
            self.refill();
        }
    }

    /// Whether a SEND has come.
    #[inline]
    pub(crate) fn poll(&mut self) -> bool {
        let mut batch = [Completion::EMPTY; 8];
        let count = self.nic.poll_cq(self.cq, &mut batch).expect("a CQ");
        let mut heard = false;
        for completion in &batch[..count] {
            assert_eq!(completion.status, WcStatus::Success);
            if completion.opcode == WcOpcode::Receive {
                self.used.push(completion.wr_id as u32);
                heard = true;
            }
        }
        heard
    }

    /// Asks to be woken; whether there is something already.
    pub(crate) fn arm(&mut self) -> bool {
        self.nic.arm_cq(self.cq, ArmFor::Solicited).expect("a CQ")
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.nic.fds().next().expect("a wire")
    }
}

impl End for Raw {
    #[inline]
    fn send(&mut self, octets: &[u8]) {
        self.write(octets);
    }

    #[inline]
    fn receive(&mut self, octets: &mut [u8]) {
        while !self.poll() {
            std::hint::spin_loop();
        }
        self.take(octets);
    }
}
