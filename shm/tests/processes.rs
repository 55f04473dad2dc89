//! Two processes: the other one is this test binary once more, told by an
//! environment variable what to be.

// Tests wait and start processes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smolsmc_shm::{Config, OpenError, Opening, PortConfig, ShmNic, WireFault, connect, listen};
use smolsmc_verbs::*;
use smolsmc_wire::{Gid, Mac, MtuCode, Psn, Qpn, Rkey};

const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const ROLE: &str = "SMOLSMC_SHM_ROLE";
const PLACE: &str = "SMOLSMC_SHM_PLACE";
const RING: usize = 1 << 16;

/// One end: a queue pair, a ring the peer writes, slots for its words.
struct End {
    nic: ShmNic,
    cq: CqHandle,
    qp: QpHandle,
    outgoing: MemHandle,
    out_keys: MrAttributes,
    incoming: MemHandle,
    in_keys: MrAttributes,
    slots: MrAttributes,
    slot_memory: MemHandle,
}

/// QPNs and keys come from the entropy alone, so each side knows the other's
/// from making one like it. (Real programs exchange them, as SMC-R does.)
fn end(number: u8, nic: ShmNic) -> End {
    let mut nic = nic;
    let pd = nic.alloc_pd(PORT.device).unwrap();
    let cq = nic.create_cq(PORT.device, 256, CompletionVector(0)).unwrap();
    let mut memory = |len, used_for, access| {
        let memory = nic.alloc_memory(len, used_for).unwrap();
        let mr = nic.register(pd, memory, access).unwrap();
        (memory, nic.mr(mr).unwrap())
    };
    let (outgoing, out_keys) = memory(RING, MemoryUse::Outgoing, Access::empty());
    let (incoming, in_keys) = memory(RING, MemoryUse::Incoming, Access::LOCAL_WRITE | Access::REMOTE_WRITE);
    let (slot_memory, slots) = memory(64 * 64, MemoryUse::Incoming, Access::LOCAL_WRITE);
    let capabilities = QpCapabilities {
        max_send_wr: 64,
        max_recv_wr: 64,
        max_send_sge: 1,
        max_recv_sge: 1,
        max_inline_data: 44,
    };
    let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).unwrap();
    assert!(number == 1 || number == 2);
    End { nic, cq, qp, outgoing, out_keys, incoming, in_keys, slots, slot_memory }
}

fn gid(number: u8) -> Gid {
    Gid::from_ipv4([10, 9, 0, number])
}

fn open(number: u8, socket: std::os::unix::net::UnixStream) -> Result<ShmNic, OpenError> {
    let mut config = Config::new([number; 32]);
    config.limits.incoming_octets = 1 << 20;
    let entry = GidEntry { gid: gid(number), kind: GidKind::RoCEv2, vlan: None };
    let mut opening = Opening::new(config)?;
    opening.greet(socket, PortConfig::new(Mac([2, 0, 0, 0, 0, number]), entry))?;
    Ok(opening.complete(smolsmc_wire::Duration::from_secs(20))?.0)
}

/// What the peer's end is called, found out by making one like it here.
fn facts(number: u8) -> (Qpn, u64, Rkey) {
    let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
    let other = std::thread::spawn(move || open(3 - number, b).unwrap());
    let twin = end(number, open(number, a).unwrap());
    drop(other.join().unwrap());
    (twin.nic.qp(twin.qp).unwrap().qpn, twin.in_keys.iova, twin.in_keys.rkey)
}

impl End {
    fn connect(&mut self, peer: Qpn, number: u8) {
        let init = InitAttributes { port: PORT.port, pkey_index: 0, access: Access::REMOTE_WRITE };
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
            max_dest_rd_atomic: 1,
            min_rnr_timer: 5,
            path,
        };
        // Silence is borne for long: the other process may not run just now.
        let rts = RtsAttributes {
            timeout: 20,
            retry_count: 7,
            rnr_retry: 7,
            sq_psn: Psn::new(7),
            max_rd_atomic: 1,
        };
        for step in
            [QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)]
        {
            self.nic.modify_qp(self.qp, step).unwrap();
        }
        (0..64).for_each(|slot| self.receive(slot));
    }

    fn receive(&mut self, slot: u64) {
        let sges = [Sge { addr: self.slots.iova + slot * 64, len: 64, lkey: self.slots.lkey }];
        self.nic.post_recv(self.qp, &[RecvRequest { wr_id: slot, sges: &sges }]).unwrap();
    }

    /// `len` octets of data and a word that counts.
    fn say(&mut self, n: u64, (iova, rkey): (u64, Rkey), len: usize) {
        self.nic.outgoing(self.outgoing, 0, len).unwrap().fill(n as u8);
        let sges = [Sge { addr: self.out_keys.iova, len: len as u32, lkey: self.out_keys.lkey }];
        let write = SendRequest {
            wr_id: n,
            operation: SendOperation::Write { remote_addr: iova, rkey },
            payload: Payload::Registered(&sges),
            signalled: false,
            solicited: false,
        };
        let word = n.to_be_bytes();
        let send = SendRequest {
            operation: SendOperation::Send,
            payload: Payload::Inline(&word),
            signalled: true,
            solicited: true,
            ..write
        };
        self.nic.post_send(self.qp, &[write, send]).unwrap();
    }

    /// The next word, once it is there; asleep until then. `None` when the
    /// queue pair fails.
    fn hear(&mut self) -> Option<u64> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let mut one = [Completion::EMPTY];
            if self.nic.poll_cq(self.cq, &mut one).unwrap() == 0 {
                if !self.nic.arm_cq(self.cq, ArmFor::Solicited).unwrap() {
                    self.sleep(Duration::from_secs(5));
                }
                if self.nic.fault(PORT.device).is_some() {
                    return None;
                }
                continue;
            }
            let [done] = one;
            if done.status != WcStatus::Success {
                return None;
            }
            if done.opcode == WcOpcode::Receive {
                let mut word = [0; 8];
                let at = done.wr_id as usize * 64;
                self.nic.incoming(self.slot_memory, at, 8).unwrap().copy_to(0, &mut word);
                self.receive(done.wr_id);
                return Some(u64::from_be_bytes(word));
            }
        }
        panic!("nothing was heard for a minute");
    }

    fn sleep(&self, most: Duration) {
        let timeout = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: 0 };
        let mut fds: Vec<_> = self.nic.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        poll(&mut fds, Some(&timeout)).unwrap();
    }

    fn octets(&self, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        self.nic.incoming(self.incoming, 0, len).unwrap().copy_to(0, &mut octets);
        octets
    }
}

/// Starts this binary once more, as somebody else.
fn start(role: &str, place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["the_other_process", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(PLACE, place)
        .spawn()
        .unwrap()
}

fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("smolsmc-shm-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Listens for the process it starts, and connects to it.
fn with_peer(role: &str) -> (End, Child, (u64, Rkey)) {
    let path = place(role);
    let child = start(role, &path);
    let socket = listen(&path, smolsmc_wire::Duration::from_secs(30)).unwrap();
    let mut own = end(1, open(1, socket).unwrap());
    let (qpn, iova, rkey) = facts(2);
    own.connect(qpn, 2);
    (own, child, (iova, rkey))
}

/// Not a test by itself: what the other process does.
#[test]
fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    let socket = loop {
        match connect(&path) {
            Ok(socket) => break socket,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut own = end(2, open(2, socket).unwrap());
    let (qpn, iova, rkey) = facts(1);
    own.connect(qpn, 1);
    // Answers each word with the same one, and the data with the same data.
    while let Some(n) = own.hear() {
        if role == "killed" && n == 100 {
            own.say(n, (iova, rkey), 1);
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        let data = own.octets(1 + n as usize);
        assert!(data.iter().all(|octet| *octet == n as u8), "the data of word {n}");
        own.say(n, (iova, rkey), 1 + n as usize);
        if role == "leaves" && n == 100 {
            return;
        }
    }
}

#[test]
fn words_and_data_between_two_processes() {
    let (mut own, mut child, peer) = with_peer("echoes");
    for n in 0..2000 {
        own.say(n, peer, 1 + n as usize);
        assert_eq!(own.hear(), Some(n));
        assert!(own.octets(1 + n as usize).iter().all(|octet| *octet == n as u8), "the data of word {n}");
    }
    // The other one sees us go, and ends.
    drop(own);
    assert!(child.wait().unwrap().success());
}

fn notices(own: &mut End, child: &mut Child) {
    assert_eq!(own.hear(), None);
    assert_eq!(own.nic.fault(PORT.device), Some(WireFault::PeerGone));
    assert_eq!(own.nic.port(PORT).unwrap().state, PortState::Down);
    let mut events = Vec::new();
    while let Some(event) = own.nic.next_event() {
        events.push(event);
    }
    assert!(events.contains(&AsyncEvent::PortDown(PORT)), "{events:?}");
    let _ = child.wait();
}

#[test]
fn a_peer_that_leaves_is_noticed_asleep() {
    let (mut own, mut child, peer) = with_peer("leaves");
    for n in 0..=100 {
        own.say(n, peer, 1 + n as usize);
        assert_eq!(own.hear(), Some(n));
    }
    notices(&mut own, &mut child);
}

#[test]
fn a_peer_that_is_killed_is_noticed_and_requests_fail() {
    let (mut own, mut child, peer) = with_peer("killed");
    for n in 0..=100 {
        own.say(n, peer, 1 + n as usize);
        assert_eq!(own.hear(), Some(n));
    }
    // It hears nothing any more; then it is gone, in mid-traffic.
    for n in 0..10 {
        own.say(n, peer, RING);
    }
    child.kill().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut statuses = Vec::new();
    while !statuses.contains(&WcStatus::RetryExceeded) {
        assert!(Instant::now() < deadline, "{statuses:?}");
        let mut done = [Completion::EMPTY; 16];
        let count = own.nic.poll_cq(own.cq, &mut done).unwrap();
        statuses.extend(done.iter().take(count).map(|done| done.status));
    }
    assert_eq!(own.nic.qp(own.qp).unwrap().state, QpState::Error);
    notices(&mut own, &mut child);
}
