//! A NIC with one queue pair, and what it takes to talk.

use std::os::unix::net::UnixStream;

use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Mac, MtuCode, Psn, Qpn, Rkey};

use crate::{Config, Opening, PortConfig, ShmNic, ShmPort};

pub(super) const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
pub(super) const LEN: usize = 1 << 16;
pub(super) const SLOTS: u32 = 64;

pub(super) struct Host {
    pub(super) nic: ShmNic,
    pub(super) ethernet: ShmPort,
    pub(super) pd: PdHandle,
    pub(super) cq: CqHandle,
    pub(super) qp: QpHandle,
    pub(super) qpn: Qpn,
    pub(super) outgoing: MemHandle,
    pub(super) out_keys: MrAttributes,
    pub(super) incoming: MemHandle,
    pub(super) in_mr: MrHandle,
    pub(super) in_keys: MrAttributes,
    pub(super) slots: MemHandle,
    slot_keys: MrAttributes,
}

pub(super) fn gid(number: u8) -> Gid {
    Gid::from_ipv4([10, 9, 0, number])
}

pub(super) fn opening(number: u8, socket: UnixStream, is_impatient: bool) -> Opening {
    let mut config = Config::new([number; 32]);
    config.limits.incoming_octets = 1 << 22;
    config.limits.max_mr = 64;
    config.limits.max_qp = 64;
    config.patience = Duration::from_millis(200);
    config.limits.message_slots = 64;
    if is_impatient {
        config.withdrawal = Duration::from_millis(20);
    }
    let entry = GidEntry { gid: gid(number), kind: GidKind::RoCEv2, vlan: None };
    let mut opening = Opening::new(config).unwrap();
    opening.greet(socket, PortConfig::new(Mac([2, 0, 0, 0, 0, number]), entry)).unwrap();
    opening
}

impl Host {
    pub(super) fn new(opening: Opening) -> Self {
        let (mut nic, mut ports) = opening.complete(Duration::from_secs(5)).unwrap();
        let pd = nic.alloc_pd(PORT.device).unwrap();
        let cq = nic.create_cq(PORT.device, 1024, CompletionVector(0)).unwrap();
        let capabilities = QpCapabilities {
            max_send_wr: 64,
            max_recv_wr: SLOTS,
            max_send_sge: 2,
            max_recv_sge: 2,
            max_inline_data: 64,
        };
        let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).unwrap();
        let qpn = nic.qp(qp).unwrap().qpn;
        let mut memory = |len, used_for, access| {
            let memory = nic.alloc_memory(len, used_for).unwrap();
            let mr = nic.register(pd, memory, access).unwrap();
            (memory, mr, nic.mr(mr).unwrap())
        };
        let open = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        let (outgoing, _, out_keys) = memory(LEN, MemoryUse::Outgoing, Access::empty());
        let (incoming, in_mr, in_keys) = memory(LEN, MemoryUse::Incoming, open);
        let (slots, _, slot_keys) = memory(SLOTS as usize * 64, MemoryUse::Incoming, Access::LOCAL_WRITE);
        let ethernet = ports.remove(0);
        Self {
            nic,
            ethernet,
            pd,
            cq,
            qp,
            qpn,
            outgoing,
            out_keys,
            incoming,
            in_mr,
            in_keys,
            slots,
            slot_keys,
        }
    }

    pub(super) fn pair() -> [Self; 2] {
        let (a, b) = UnixStream::pair().unwrap();
        let [mut one, mut two] = [opening(1, a, false), opening(2, b, false)].map(Self::new);
        one.connect(two.qpn, 2);
        two.connect(one.qpn, 1);
        one.forget_events();
        two.forget_events();
        [one, two]
    }

    /// That the port is up is no news.
    pub(super) fn forget_events(&mut self) {
        while self.nic.next_event().is_some() {}
    }

    /// From RESET to RTS, toward a peer.
    pub(super) fn connect(&mut self, peer: Qpn, number: u8) {
        let access = Access::REMOTE_WRITE | Access::REMOTE_READ;
        let init = InitAttributes { port: PORT.port, pkey_index: 0, access };
        let path = AddressVector {
            source_gid_index: 0,
            destination_gid: gid(number),
            destination_mac: Mac::default(),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: MtuCode::OCTETS_4096,
            destination_qpn: peer,
            rq_psn: Psn::new(7),
            max_dest_rd_atomic: 4,
            min_rnr_timer: 1,
            path,
        };
        let rts =
            RtsAttributes { timeout: 8, retry_count: 7, rnr_retry: 7, sq_psn: Psn::new(7), max_rd_atomic: 4 };
        for step in
            [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
        {
            self.nic.modify_qp(self.qp, step).unwrap();
        }
    }

    pub(super) fn receive(&mut self, slot: u32) -> Result<(), PostError> {
        let addr = self.slot_keys.iova + u64::from(slot % SLOTS) * 64;
        let sges = [Sge { addr, len: 64, lkey: self.slot_keys.lkey }];
        self.nic.post_recv(self.qp, &[RecvRequest { wr_id: u64::from(slot), sges: &sges }])
    }

    pub(super) fn slot(&self, slot: u64) -> [u8; 64] {
        let mut octets = [0; 64];
        let span = self.nic.incoming(self.slots, (slot % u64::from(SLOTS)) as usize * 64, 64).unwrap();
        span.copy_to(0, &mut octets);
        octets
    }

    pub(super) fn send(&mut self, wr_id: u64, octets: &[u8]) -> Result<(), PostError> {
        let request = SendRequest {
            wr_id,
            operation: SendOperation::Send,
            payload: Payload::Inline(octets),
            signalled: true,
            solicited: true,
        };
        self.nic.post_send(self.qp, &[request])
    }

    pub(super) fn write(&mut self, wr_id: u64, to: (u64, Rkey), len: u32) -> Result<(), PostError> {
        let operation = SendOperation::Write { remote_addr: to.0, rkey: to.1 };
        self.work(wr_id, operation, self.out_keys, len)
    }

    pub(super) fn read(&mut self, wr_id: u64, from: (u64, Rkey), len: u32) -> Result<(), PostError> {
        let operation = SendOperation::Read { remote_addr: from.0, rkey: from.1 };
        self.work(wr_id, operation, self.in_keys, len)
    }

    fn work(
        &mut self,
        wr_id: u64,
        operation: SendOperation,
        keys: MrAttributes,
        len: u32,
    ) -> Result<(), PostError> {
        let sges = [Sge { addr: keys.iova, len, lkey: keys.lkey }];
        let payload = Payload::Registered(&sges);
        let request = SendRequest { wr_id, operation, payload, signalled: true, solicited: false };
        self.nic.post_send(self.qp, &[request])
    }

    pub(super) fn poll(&mut self) -> Option<Completion> {
        let mut one = [Completion::EMPTY];
        let count = self.nic.poll_cq(self.cq, &mut one).unwrap();
        one.into_iter().take(count).next()
    }

    /// Polls until something completes, or says that nothing did in time.
    #[track_caller]
    pub(super) fn completion(&mut self) -> Completion {
        let deadline = crate::clock::now() + Duration::from_secs(10);
        while crate::clock::now() < deadline {
            if let Some(completion) = self.poll() {
                return completion;
            }
            std::thread::yield_now();
        }
        panic!("nothing completes");
    }

    /// Polls until an event comes.
    #[track_caller]
    pub(super) fn event(&mut self) -> AsyncEvent {
        let deadline = crate::clock::now() + Duration::from_secs(10);
        while crate::clock::now() < deadline {
            self.nic.progress();
            if let Some(event) = self.nic.next_event() {
                return event;
            }
        }
        panic!("nothing happens");
    }
}
