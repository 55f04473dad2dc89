//! Verbs over shared memory: an RDMA WRITE, and behind it a SEND of 44 octets
//! that tells of it.

use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smolsmc_shm::{Config, Opening, PortConfig, ShmNic};
use smolsmc_verbs::*;
use smolsmc_wire::{Duration, Gid, Mac, MtuCode, Psn, Qpn, Rkey};

use crate::end::{End, HEADER_LEN};
use crate::fault::{Alive, Fault};

const WHAT: &str = "verbs over shared memory";
const PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };
const DEPTH: u32 = 64;
/// Receives posted with one call.
const REFILL: u32 = 16;
/// Octets that each side lets the other one write: the longest message.
pub(crate) const RING: usize = 16 << 20;
/// Octets of a stream on the way at most; and messages: a SEND each way must find
/// a receive.
const WINDOW: (usize, u32) = (1 << 20, DEPTH / 2);
/// How long an end waits for the other one's greeting.
pub(crate) const GREETING: Duration = Duration::from_secs(10);
/// A word behind each WRITE: how many octets, and nothing else.
const WORD_LEN: usize = 44;

/// What an end is called by the other one.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Its queue pair.
    pub qpn: Qpn,
    /// Where its ring begins.
    pub iova: u64,
    /// Its ring's key.
    pub rkey: Rkey,
}

/// One end.
pub struct Raw {
    nic: ShmNic,
    alive: Alive,
    /// Sleeps instead of polling.
    sleeps: bool,
    cq: CqHandle,
    qp: QpHandle,
    outgoing: MemHandle,
    incoming: MemHandle,
    out_keys: MrAttributes,
    in_keys: MrAttributes,
    slot_memory: MemHandle,
    slots: MrAttributes,
    peer: (u64, Rkey),
    posted: u64,
    used: Vec<u32>,
    /// SENDs that have come and were not asked for yet.
    heard: u32,
    /// Quarters of a stream that the other end has said it has taken, and those
    /// that it will say in all.
    credits: (u32, u32),
}

fn gid(number: u8) -> GidEntry {
    GidEntry { gid: Gid::from_ipv4([10, 9, 0, number]), kind: GidKind::RoCEv2, vlan: None }
}

/// One end of a wire with room for so much that the other one writes, greeted.
pub(crate) fn opening(
    number: u8,
    socket: UnixStream,
    mut config: Config,
    octets: u64,
) -> Result<Opening, Fault> {
    config.limits.incoming_octets = octets;
    let mut opening = Opening::new(config).map_err(Fault::wire("shared memory"))?;
    let port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), gid(number));
    opening.greet(socket, port).map_err(Fault::wire("shared memory"))?;
    Ok(opening)
}

/// A wire's end that waits to hear of the other one.
pub struct RawOpening(Opening);

impl RawOpening {
    /// Greets: end 1 or 2.
    ///
    /// # Errors
    /// [`Fault::Wire`].
    pub fn greet(number: u8, socket: UnixStream) -> Result<Self, Fault> {
        opening(number, socket, Config::new([number; 32]), 2 * RING as u64).map(Self)
    }

    /// The end, not connected yet.
    ///
    /// # Errors
    /// [`Fault::Wire`].
    pub fn complete(self, alive: &Alive) -> Result<Raw, Fault> {
        let (nic, _) = self.0.complete(GREETING).map_err(Fault::wire("shared memory"))?;
        Raw::make(nic, alive).map_err(Fault::wire(WHAT))
    }
}

impl Raw {
    fn make(mut nic: ShmNic, alive: &Alive) -> Result<Self, VerbsError> {
        let pd = nic.alloc_pd(PORT.device)?;
        let cq = nic.create_cq(PORT.device, 256, CompletionVector::default())?;
        let mut memory = |len, used_for, access| -> Result<_, VerbsError> {
            let memory = nic.alloc_memory(len, used_for)?;
            let mr = nic.register(pd, memory, access)?;
            Ok((memory, nic.mr(mr)?))
        };
        let (outgoing, out_keys) = memory(RING, MemoryUse::Outgoing, Access::empty())?;
        let both = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let (incoming, in_keys) = memory(RING, MemoryUse::Incoming, both)?;
        let (slot_memory, slots) = memory(DEPTH as usize * 64, MemoryUse::Incoming, Access::LOCAL_WRITE)?;
        let capabilities = QpCapabilities {
            max_send_wr: 2 * DEPTH,
            max_recv_wr: DEPTH,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: WORD_LEN as u32,
        };
        let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities })?;
        let peer = (in_keys.iova, in_keys.rkey);
        let used = Vec::with_capacity(DEPTH as usize);
        let (alive, sleeps) = (alive.clone(), false);
        let (posted, heard, credits) = (0, 0, (0, 0));
        Ok(Self {
            nic,
            alive,
            sleeps,
            cq,
            qp,
            outgoing,
            incoming,
            out_keys,
            in_keys,
            slot_memory,
            slots,
            peer,
            posted,
            used,
            heard,
            credits,
        })
    }

    /// Both ends, for one process.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn pair() -> Result<[Self; 2], Fault> {
        let (a, b) = UnixStream::pair().map_err(Fault::system("a socket pair"))?;
        let (a, b) = (RawOpening::greet(1, a)?, RawOpening::greet(2, b)?);
        let alive = Alive::default();
        let (mut a, mut b) = (a.complete(&alive)?, b.complete(&alive)?);
        let names = (a.names()?, b.names()?);
        a.connect(names.1, 2)?;
        b.connect(names.0, 1)?;
        Ok([a, b])
    }

    /// What the other end must know.
    ///
    /// # Errors
    /// [`Fault::Wire`].
    pub fn names(&self) -> Result<Names, Fault> {
        let qpn = self.nic.qp(self.qp).map_err(Fault::wire(WHAT))?.qpn;
        Ok(Names { qpn, iova: self.in_keys.iova, rkey: self.in_keys.rkey })
    }

    /// Connects to the other end, of that number.
    ///
    /// # Errors
    /// [`Fault::Wire`].
    pub fn connect(&mut self, peer: Names, number: u8) -> Result<(), Fault> {
        self.peer = (peer.iova, peer.rkey);
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
            destination_qpn: peer.qpn,
            rq_psn: Psn::new(7),
            max_dest_rd_atomic: 1,
            min_rnr_timer: 5,
            path,
        };
        // Silence is borne for long: one end rests while others are measured.
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
            self.nic.modify_qp(self.qp, step).map_err(Fault::wire(WHAT))?;
        }
        self.used.extend(0..DEPTH);
        self.refill()
    }

    /// Whether it sleeps when nothing is there, instead of polling.
    pub const fn set_sleeps(&mut self, sleeps: bool) {
        self.sleeps = sleeps;
    }

    /// Posts all receives that were used.
    fn refill(&mut self) -> Result<(), Fault> {
        let sge =
            |slot: u32| Sge { addr: self.slots.iova + u64::from(slot) * 64, len: 64, lkey: self.slots.lkey };
        for some in self.used.chunks(REFILL as usize) {
            let mut sges = [[Sge::default(); 1]; REFILL as usize];
            sges.iter_mut().zip(some).for_each(|(sges, slot)| *sges = [sge(*slot)]);
            let mut list = [RecvRequest { wr_id: 0, sges: &[] }; REFILL as usize];
            for ((request, sges), slot) in list.iter_mut().zip(&sges).zip(some) {
                *request = RecvRequest { wr_id: u64::from(*slot), sges };
            }
            self.nic.post_recv(self.qp, &list[..some.len()]).map_err(Fault::wire(WHAT))?;
        }
        self.used.clear();
        Ok(())
    }

    /// A WRITE to `offset` of the other end's ring, and a SEND; that alone if
    /// there is nothing to write.
    #[inline]
    fn write(&mut self, octets: &[u8], offset: usize) -> Result<(), Fault> {
        // Every tenth SEND is signalled, so that the queue empties.
        let signalled = self.posted.is_multiple_of(10);
        self.posted += 1;
        let ring = self.nic.outgoing(self.outgoing, offset, octets.len()).map_err(Fault::wire(WHAT))?;
        ring.copy_from_slice(octets);
        let addr = self.out_keys.iova + offset as u64;
        let sges = [Sge { addr, len: octets.len() as u32, lkey: self.out_keys.lkey }];
        let (remote_addr, rkey) = (self.peer.0 + offset as u64, self.peer.1);
        let write = SendRequest {
            wr_id: 1 << 32,
            operation: SendOperation::Write { remote_addr, rkey },
            payload: Payload::Registered(&sges),
            signalled: false,
            solicited: false,
        };
        let mut word = [0xfe; WORD_LEN];
        word[..4].copy_from_slice(&(octets.len() as u32).to_le_bytes());
        let send = SendRequest {
            wr_id: 1 << 32,
            operation: SendOperation::Send,
            payload: Payload::Inline(&word),
            signalled,
            solicited: true,
        };
        let list = [write, send];
        let list = if octets.is_empty() { &list[1..] } else { &list[..] };
        self.nic.post_send(self.qp, list).map_err(Fault::wire(WHAT))
    }

    /// Copies out what was written.
    #[inline]
    fn take(&mut self, octets: &mut [u8], offset: usize) -> Result<(), Fault> {
        let span = self.nic.incoming(self.incoming, offset, octets.len()).map_err(Fault::wire(WHAT))?;
        span.copy_to(0, octets);
        self.refill_some()
    }

    fn refill_some(&mut self) -> Result<(), Fault> {
        if self.used.len() >= REFILL as usize { self.refill() } else { Ok(()) }
    }

    /// Looks whether SENDs have come.
    #[inline]
    fn poll(&mut self) -> Result<bool, Fault> {
        let mut batch = [Completion::EMPTY; 8];
        let count = self.nic.poll_cq(self.cq, &mut batch).map_err(Fault::wire(WHAT))?;
        for completion in &batch[..count] {
            if completion.status != WcStatus::Success {
                return Err(self.failed(completion.status));
            }
            if completion.opcode == WcOpcode::Receive {
                self.used.push(completion.wr_id as u32);
                self.heard += 1;
            }
        }
        Ok(self.heard > 0)
    }

    /// Why a request did not succeed: the wire's reason is the better one.
    fn failed(&self, status: WcStatus) -> Fault {
        match self.nic.fault(PORT.device) {
            Some(fault) => Fault::wire(WHAT)(fault),
            None => Fault::Wire { what: WHAT, why: format!("a request ended with {status:?}") },
        }
    }

    /// Waits for a SEND.
    #[inline]
    fn hear(&mut self) -> Result<(), Fault> {
        let mut rounds = 0_u32;
        while !self.poll()? {
            rounds = rounds.wrapping_add(1);
            if self.sleeps {
                self.sleep()?;
            } else if rounds.is_multiple_of(1024) {
                self.alive.check()?;
            }
            std::hint::spin_loop();
        }
        self.heard -= 1;
        Ok(())
    }

    fn sleep(&mut self) -> Result<(), Fault> {
        if self.nic.arm_cq(self.cq, ArmFor::Solicited).map_err(Fault::wire(WHAT))? {
            return Ok(());
        }
        let Some(fd) = self.nic.fds().next() else { return Err(self.failed(WcStatus::RetryExceeded)) };
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => self.alive.check(),
            Err(error) => Err(Fault::system("a sleep")(error)),
        }
    }

    /// Messages of `size` octets that may be on the way, and after how many the
    /// receiver says so: powers of two, so that streams of whole windows join.
    fn window(size: usize) -> (u32, u32) {
        let slots = 1 << ((WINDOW.0 / size.max(1)) as u32).clamp(1, WINDOW.1).ilog2();
        (slots, (slots / 4).max(1))
    }
}

impl End for Raw {
    #[inline]
    fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.write(octets, 0)
    }

    #[inline]
    fn receive(&mut self, octets: &mut [u8]) -> Result<(), Fault> {
        self.hear()?;
        self.take(octets, 0)
    }

    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<usize, Fault> {
        self.hear()?;
        let slot = self.used.last().copied().unwrap_or_default();
        let mut word = [0; 4];
        let span = self.nic.incoming(self.slot_memory, slot as usize * 64, 4).map_err(Fault::wire(WHAT))?;
        span.copy_to(0, &mut word);
        let len = u32::from_le_bytes(word) as usize;
        if !(HEADER_LEN..=frame.len()).contains(&len) {
            return Err(Fault::Wire { what: WHAT, why: format!("a frame of {len} octets does not fit") });
        }
        self.take(&mut frame[..len], 0)?;
        Ok(len)
    }

    fn send_many(&mut self, octets: &[u8], times: u32) -> Result<(), Fault> {
        let (slots, quarter) = Self::window(octets.len());
        self.credits = (0, times / quarter);
        for n in 0..times {
            while n - self.credits.0 * quarter >= slots {
                self.hear()?;
                self.refill_some()?;
                self.credits.0 += 1;
            }
            self.write(octets, (n % slots) as usize * octets.len())?;
        }
        Ok(())
    }

    fn receive_many(&mut self, octets: &mut [u8], times: u32) -> Result<(), Fault> {
        let (slots, quarter) = Self::window(octets.len());
        for n in 0..times {
            self.hear()?;
            self.take(octets, (n % slots) as usize * octets.len())?;
            if (n + 1).is_multiple_of(quarter) {
                self.write(&[], 0)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, _done: &mut dyn FnMut() -> bool) -> Result<(), Fault> {
        while self.credits.0 < self.credits.1 {
            self.hear()?;
            self.refill_some()?;
            self.credits.0 += 1;
        }
        Ok(())
    }
}
