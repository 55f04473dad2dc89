//! Two NICs back to back: what one emits the other takes, at once.

use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
use smolsmc_verbs::*;
use smolsmc_wire::{Gid, Instant, Mac, MtuCode, Psn};

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };

/// Send requests that can be outstanding.
const DEPTH: u32 = 64;

/// Messages posted with one doorbell; the last one is signalled.
const BATCH: u32 = 16;

/// What carries the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Send,
    Write,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) kind: Kind,
    pub(crate) len: u32,
    pub(crate) mtu: u16,
}

struct Side {
    nic: SoftNic,
    cq: CqHandle,
    qps: Vec<QpHandle>,
    /// What is sent from, or written to.
    keys: MrAttributes,
}

/// A sender, a receiver, and the buffer a frame travels in.
pub(crate) struct Pair {
    traffic: Traffic,
    sender: Side,
    receiver: Side,
    frame: Vec<u8>,
    now: Instant,
    messages: u64,
}

impl Pair {
    /// `queue_pairs` connections, the middle one of which will be busy.
    pub(crate) fn new(traffic: Traffic, queue_pairs: u32, verify_icrc: bool) -> Self {
        let mut sender = side(1, queue_pairs, verify_icrc, MemoryUse::Outgoing);
        let mut receiver = side(2, queue_pairs, verify_icrc, MemoryUse::Incoming);
        let mtu = if traffic.mtu == 1024 { MtuCode::OCTETS_1024 } else { MtuCode::OCTETS_4096 };
        connect(&mut sender, &receiver, 2, mtu);
        connect(&mut receiver, &sender, 1, mtu);
        let mut pair =
            Self { traffic, sender, receiver, frame: vec![0; 9100], now: Instant::ZERO, messages: 0 };
        if traffic.kind == Kind::Send {
            (0..DEPTH).for_each(|_| pair.post_receive());
        }
        pair
    }

    fn busy(&self) -> usize {
        self.sender.qps.len() / 2
    }

    /// Sends `messages` and sees them through to their completions.
    pub(crate) fn run(&mut self, messages: u32) {
        let mut left = messages;
        while left > 0 {
            let batch = left.min(BATCH);
            self.post(batch);
            self.carry();
            self.complete();
            left -= batch;
        }
        self.messages += u64::from(messages);
    }

    /// Frames both ways per message, acknowledgements included.
    pub(crate) fn packets_per_message(&self) -> f64 {
        let counters = self.sender.nic.counters();
        assert_eq!(counters.retransmitted, 0, "nothing is lost here");
        (counters.frames_out + counters.frames_in) as f64 / self.messages as f64
    }

    fn post(&mut self, batch: u32) {
        let sges = [Sge { addr: self.sender.keys.iova, len: self.traffic.len, lkey: self.sender.keys.lkey }];
        let operation = match self.traffic.kind {
            Kind::Send => SendOperation::Send,
            Kind::Write => {
                let keys = self.receiver.keys;
                SendOperation::Write { remote_addr: keys.iova, rkey: keys.rkey }
            }
        };
        let payload = Payload::Registered(&sges);
        let request = SendRequest { wr_id: 1, operation, payload, signalled: false, solicited: false };
        let mut list = [request; BATCH as usize];
        let list = &mut list[..batch as usize];
        if let Some(last) = list.last_mut() {
            last.signalled = true;
        }
        let qp = self.sender.qps[self.busy()];
        self.sender.nic.post_send(qp, list).expect("room for a batch");
    }

    /// Carries frames until neither side has one.
    fn carry(&mut self) {
        self.now = self.now + smolsmc_wire::Duration::from_micros(10);
        loop {
            let there = carry_from(&mut self.sender.nic, &mut self.receiver.nic, self.now, &mut self.frame);
            let back = carry_from(&mut self.receiver.nic, &mut self.sender.nic, self.now, &mut self.frame);
            if !there && !back {
                return;
            }
        }
    }

    fn complete(&mut self) {
        let mut done = [Completion::EMPTY; 64];
        let count = self.sender.nic.poll_cq(self.sender.cq, &mut done).expect("a CQ");
        assert_eq!((count, done[0].status), (1, WcStatus::Success), "one signalled request a batch");
        if self.traffic.kind == Kind::Send {
            let count = self.receiver.nic.poll_cq(self.receiver.cq, &mut done).expect("a CQ");
            (0..count).for_each(|_| self.post_receive());
        }
    }

    fn post_receive(&mut self) {
        let sges = [Sge { addr: self.receiver.keys.iova, len: 4096, lkey: self.receiver.keys.lkey }];
        let qp = self.receiver.qps[self.busy()];
        let request = RecvRequest { wr_id: 2, sges: &sges };
        self.receiver.nic.post_recv(qp, &[request]).expect("room for a receive");
    }
}

fn carry_from(from: &mut SoftNic, to: &mut SoftNic, now: Instant, buffer: &mut [u8]) -> bool {
    let mut carried = false;
    loop {
        let len = from.emit(now, PORT, buffer);
        let frame = &buffer[..len];
        if frame.is_empty() {
            return carried;
        }
        assert!(to.claims(PORT, frame), "every frame is for the other side");
        to.take(now, PORT, frame);
        carried = true;
    }
}

fn side(index: u8, queue_pairs: u32, verify_icrc: bool, used_for: MemoryUse) -> Side {
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, index]), 9000);
    let gid = Gid::from_ipv4([10, 0, 0, index]);
    port.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
    let mut config = Config::new([index; 32]);
    config.devices.push(DeviceConfig::new(vec![port]));
    config.limits.max_qp = queue_pairs;
    config.verify_icrc = verify_icrc;
    let mut nic = SoftNic::new(&config).expect("a NIC");
    let pd = nic.alloc_pd(PORT.device).expect("a PD");
    let cq = nic.create_cq(PORT.device, 256, CompletionVector(0)).expect("a CQ");
    let memory = nic.alloc_memory(65_536, used_for).expect("memory");
    let access = match used_for {
        MemoryUse::Outgoing => Access::empty(),
        MemoryUse::Incoming => Access::LOCAL_WRITE | Access::REMOTE_WRITE,
    };
    let mr = nic.register(pd, memory, access).expect("a registration");
    let keys = nic.mr(mr).expect("its keys");
    let capabilities = QpCapabilities {
        max_send_wr: DEPTH,
        max_recv_wr: DEPTH,
        max_send_sge: 1,
        max_recv_sge: 1,
        max_inline_data: 0,
    };
    let init = QpInit { pd, send_cq: cq, recv_cq: cq, capabilities };
    let qps = (0..queue_pairs).map(|_| nic.create_qp(init).expect("a QP")).collect();
    Side { nic, cq, qps, keys }
}

fn connect(side: &mut Side, peer: &Side, peer_index: u8, mtu: MtuCode) {
    for (qp, peer_qp) in side.qps.iter().zip(&peer.qps) {
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: Gid::from_ipv4([10, 0, 0, peer_index]),
            destination_mac: Mac([2, 0, 0, 0, 0, peer_index]),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: mtu,
            destination_qpn: peer.nic.qp(*peer_qp).expect("it is there").qpn,
            rq_psn: Psn::new(0),
            max_dest_rd_atomic: 1,
            min_rnr_timer: 5,
            path,
        };
        let rts = RtsAttributes {
            timeout: 15,
            retry_count: 7,
            rnr_retry: 7,
            sq_psn: Psn::new(0),
            max_rd_atomic: 1,
        };
        let init = InitAttributes { port: PORT.port, pkey_index: 0, access: Access::REMOTE_WRITE };
        for step in
            [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
        {
            side.nic.modify_qp(*qp, step).expect("the next state");
        }
    }
}
