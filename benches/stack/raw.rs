//! Bare verbs over the same NICs and the same cable: an RDMA WRITE, and behind
//! it a SEND of 44 octets that tells of it.

use smolsmc_ethernet::{Wire, pair};
use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
use smolsmc_verbs::*;
use smolsmc_wire::{Gid, Instant, Mac, MtuCode, Psn};
use smoltcp::phy::{Device, RxToken, TxToken};

use crate::hosts::MTU;

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const DEPTH: u32 = 64;
const RING: u32 = 1 << 17;

struct Side {
    nic: SoftNic,
    wire: Wire,
    cq: CqHandle,
    qp: QpHandle,
    outgoing: MemHandle,
    incoming: MemHandle,
    out_keys: MrAttributes,
    in_keys: MrAttributes,
    slots: MrAttributes,
}

pub(crate) struct Raw {
    sides: [Side; 2],
    posted: u64,
}

fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

fn side(number: u8, wire: Wire) -> Side {
    let mut port = PortConfig::new(mac(number), MTU);
    port.gids.push(GidEntry { gid: Gid::from_ipv4([10, 9, 0, number]), kind: GidKind::RoCEv2, vlan: None });
    let mut config = Config::new([number; 32]);
    config.devices.push(DeviceConfig::new(vec![port]));
    let mut nic = SoftNic::new(&config).expect("a sound configuration");
    let pd = nic.alloc_pd(DeviceId(0)).expect("a PD");
    let cq = nic.create_cq(DeviceId(0), 256, CompletionVector::default()).expect("a CQ");
    let mut memory = |len: u32, used_for, access| {
        let memory = nic.alloc_memory(len as usize, used_for).expect("memory");
        let mr = nic.register(pd, memory, access).expect("a registration");
        (memory, nic.mr(mr).expect("its keys"))
    };
    let (outgoing, out_keys) = memory(RING, MemoryUse::Outgoing, Access::empty());
    let both = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
    let (incoming, in_keys) = memory(RING, MemoryUse::Incoming, both);
    let (_, slots) = memory(DEPTH * 64, MemoryUse::Incoming, Access::LOCAL_WRITE);
    let capabilities = QpCapabilities {
        max_send_wr: 64,
        max_recv_wr: DEPTH,
        max_send_sge: 1,
        max_recv_sge: 1,
        max_inline_data: 44,
    };
    let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).expect("a QP");
    Side { nic, wire, cq, qp, outgoing, incoming, out_keys, in_keys, slots }
}

impl Raw {
    pub(crate) fn new() -> Self {
        let (a, b) = pair(MTU);
        let mut sides = [side(1, a), side(2, b)];
        let qpns = [0, 1].map(|n| sides[n].nic.qp(sides[n].qp).expect("a QP").qpn);
        for (own, side) in sides.iter_mut().enumerate() {
            let peer = 1 - own;
            let number = peer as u8 + 1;
            let init = InitAttributes { port: PORT.port, pkey_index: 0, access: Access::REMOTE_WRITE };
            let path = AddressVector {
                source_gid_index: 0,
                destination_gid: Gid::from_ipv4([10, 9, 0, number]),
                destination_mac: mac(number),
                flow_label: 0,
                traffic_class: 0,
                hop_limit: 1,
                service_level: 0,
            };
            let rtr = RtrAttributes {
                path_mtu: MtuCode::OCTETS_4096,
                destination_qpn: qpns[peer],
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
                side.nic.modify_qp(side.qp, step).expect("a step of its life");
            }
            (0..DEPTH).for_each(|slot| side.receive(slot));
        }
        Self { sides, posted: 0 }
    }

    /// `octets` there and as many back, copied in and out at each end.
    pub(crate) fn round_trip(&mut self, octets: &[u8], buffer: &mut [u8]) {
        for from in [0, 1] {
            let to = 1 - from;
            // Every tenth SEND is signalled, so that the queue empties.
            let signalled = self.posted.is_multiple_of(10);
            self.posted += 1;
            let keys = self.sides[to].in_keys;
            self.sides[from].send(octets, keys, signalled);
            while !self.sides[to].heard() {
                let [a, b] = &mut self.sides;
                a.carry();
                b.carry();
            }
            let side = &self.sides[to];
            let span = side.nic.incoming(side.incoming, 0, octets.len()).expect("in range");
            span.copy_to(0, buffer);
        }
    }
}

impl Side {
    fn receive(&mut self, slot: u32) {
        let sge = Sge { addr: self.slots.iova + u64::from(slot) * 64, len: 64, lkey: self.slots.lkey };
        let request = RecvRequest { wr_id: u64::from(slot), sges: &[sge] };
        self.nic.post_recv(self.qp, &[request]).expect("room");
    }

    fn send(&mut self, octets: &[u8], to: MrAttributes, signalled: bool) {
        self.nic.outgoing(self.outgoing, 0, octets.len()).expect("in range").copy_from_slice(octets);
        let sges = [Sge { addr: self.out_keys.iova, len: octets.len() as u32, lkey: self.out_keys.lkey }];
        let write = SendRequest {
            wr_id: 1 << 32,
            operation: SendOperation::Write { remote_addr: to.iova, rkey: to.rkey },
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

    /// Whether a SEND has come.
    fn heard(&mut self) -> bool {
        let mut batch = [Completion::EMPTY; 32];
        let count = self.nic.poll_cq(self.cq, &mut batch).expect("a CQ");
        let mut heard = false;
        for completion in &batch[..count] {
            assert_eq!(completion.status, WcStatus::Success);
            if completion.opcode == WcOpcode::Receive {
                self.receive(completion.wr_id as u32);
                heard = true;
            }
        }
        heard
    }

    fn carry(&mut self) {
        let then = smoltcp::time::Instant::ZERO;
        while let Some((frame, _)) = self.wire.receive(then) {
            frame.consume(|frame| self.nic.take(Instant::ZERO, PORT, frame));
        }
        while let Some(len) = self.nic.next_len(Instant::ZERO, PORT) {
            let Some(token) = self.wire.transmit(then) else { break };
            token.consume(len, |out| self.nic.emit(Instant::ZERO, PORT, out));
        }
    }
}
