//! Bare verbs on a device of the kernel, without anything of SMC: what there is to
//! be held against.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smolsmc_ibv::{IbvNic, Selector};
use smolsmc_verbs::{
    Access, AddressVector, ArmFor, Completion, CompletionVector, CqHandle, GidKind, InitAttributes,
    MemHandle, MemoryUse, MrAttributes, Payload, PdHandle, Provider, QpCapabilities, QpHandle, QpInit,
    QpTransition, RdmaPort, RecvRequest, RemoteSpan, RtrAttributes, RtsAttributes, SendOperation,
    SendRequest, Sge, VerbsError, WcOpcode, WcStatus,
};
use smolsmc_wire::{Gid, Mac, Psn, Qpn};

use crate::work::End;

/// The longest message.
const LONGEST: usize = 32 * 1024;
/// Octets of a SEND that tells of a WRITE: as many as SMC-R's has.
const WORD_LEN: usize = 44;
/// Receives that are posted; one message each way is on its way at most.
const RECEIVES: u32 = 16;
/// Requests that may be outstanding: one of so many SENDs is signalled, so that the
/// queue empties.
const DEPTH: u32 = 64;
const SIGNALLED: u32 = 10;

/// Octets of what the other end must know.
pub(crate) const NAMES_LEN: usize = 4 + 8 + 4 + 16;

/// How a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// An RDMA WRITE, and a SEND that tells of it: as SMC-R does.
    WriteAndSend,
    /// One SEND with all of it: the least there is.
    Send,
}

/// One end.
pub(crate) struct Verbs {
    nic: IbvNic,
    port: RdmaPort,
    gid: (u16, Gid),
    words: Words,
    sleeps: bool,
    cq: CqHandle,
    qp: QpHandle,
    outgoing: (MemHandle, MrAttributes),
    incoming: (MemHandle, MrAttributes),
    slots: (MemHandle, MrAttributes),
    slot_len: usize,
    peer: (u64, u32),
    sent: u32,
    /// A message that has come: its slot, its octets, and how many were taken.
    heard: Option<(u32, usize, usize)>,
}

fn said(error: VerbsError) -> String {
    format!("verbs: {error}")
}

/// The first GID that SMC-R would use.
fn find_gid(nic: &IbvNic, port: RdmaPort) -> Result<(u16, Gid), String> {
    let table = nic.port(port).map_err(said)?.gid_table_len;
    let mut entries = (0..table).filter_map(|index| Some((index, nic.gid(port, index).ok()??)));
    let found = entries.find(|(_, entry)| entry.kind == GidKind::RoCEv2 && entry.gid.ipv4().is_some());
    found.map(|(index, entry)| (index, entry.gid)).ok_or_else(|| "verbs: there is no RoCEv2 GID".to_owned())
}

impl Verbs {
    pub(crate) fn open(rdma: &Selector, words: Words, sleeps: bool) -> Result<Self, String> {
        let mut nic = IbvNic::open(std::slice::from_ref(rdma)).map_err(|error| error.to_string())?;
        let port = nic.port_of(rdma).ok_or("the device has gone")?;
        let gid = find_gid(&nic, port)?;
        let pd = nic.alloc_pd(port.device).map_err(said)?;
        let cq = nic.create_cq(port.device, 256, CompletionVector::default()).map_err(said)?;
        let slot_len = if words == Words::Send { LONGEST } else { 64 };
        let outgoing = memory(&mut nic, pd, LONGEST, MemoryUse::Outgoing, Access::empty()).map_err(said)?;
        let both = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let incoming = memory(&mut nic, pd, LONGEST, MemoryUse::Incoming, both).map_err(said)?;
        let all = RECEIVES as usize * slot_len;
        let slots = memory(&mut nic, pd, all, MemoryUse::Incoming, Access::LOCAL_WRITE).map_err(said)?;
        let capabilities = QpCapabilities {
            max_send_wr: DEPTH,
            max_recv_wr: RECEIVES,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: WORD_LEN as u32,
        };
        let qp = nic.create_qp(QpInit { pd, send_cq: cq, recv_cq: cq, capabilities }).map_err(said)?;
        let (peer, sent, heard) = ((0, 0), 0, None);
        Ok(Self {
            nic,
            port,
            gid,
            words,
            sleeps,
            cq,
            qp,
            outgoing,
            incoming,
            slots,
            slot_len,
            peer,
            sent,
            heard,
        })
    }

    /// What the other end must know.
    pub(crate) fn names(&self) -> Result<[u8; NAMES_LEN], String> {
        let qpn = self.nic.qp(self.qp).map_err(said)?.qpn.value();
        let keys = &self.incoming.1;
        let mut names = [0; NAMES_LEN];
        let parts = qpn.to_be_bytes().into_iter().chain(keys.iova.to_be_bytes());
        let parts = parts.chain(keys.rkey.0.to_be_bytes()).chain(self.gid.1.0);
        names.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        Ok(names)
    }

    /// Connects to the other end, and is ready to receive.
    pub(crate) fn connect(&mut self, names: &[u8; NAMES_LEN]) -> Result<(), String> {
        let mut rest = &names[..];
        let mut number = |len: usize| {
            let (part, after) = rest.split_at(len);
            rest = after;
            part.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet))
        };
        let (qpn, iova, rkey) = (number(4) as u32, number(8), number(4) as u32);
        let gid: [u8; 16] = rest.try_into().map_err(|_| "names of a wrong length")?;
        self.peer = (iova, rkey);
        let init = InitAttributes { port: self.port.port, pkey_index: 0, access: Access::REMOTE_WRITE };
        let path = AddressVector {
            source_gid_index: self.gid.0,
            destination_gid: Gid(gid),
            destination_mac: Mac([0; 6]),
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 64,
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: self.nic.port(self.port).map_err(said)?.active_mtu,
            destination_qpn: Qpn::new(qpn),
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
            self.nic.modify_qp(self.qp, step).map_err(said)?;
        }
        (0..RECEIVES).try_for_each(|slot| self.post(slot))
    }

    fn post(&mut self, slot: u32) -> Result<(), String> {
        let (_, keys) = &self.slots;
        let addr = keys.iova + u64::from(slot) * self.slot_len as u64;
        let sges = [Sge { addr, len: self.slot_len as u32, lkey: keys.lkey }];
        let posted = self.nic.post_recv(self.qp, &[RecvRequest { wr_id: slot.into(), sges: &sges }]);
        posted.map_err(|error| said(error.error))
    }

    /// Waits for a message.
    fn hear(&mut self) -> Result<(), String> {
        let mut batch = [Completion::EMPTY; 8];
        while self.heard.is_none() {
            let count = self.nic.poll_cq(self.cq, &mut batch).map_err(said)?;
            for completion in &batch[..count] {
                if completion.status != WcStatus::Success {
                    return Err(format!("verbs: a request ended with {:?}", completion.status));
                }
                if completion.opcode == WcOpcode::Receive {
                    let slot = completion.wr_id as u32;
                    self.heard = Some((slot, self.length(slot, completion.byte_len)?, 0));
                }
            }
            if count == 0 {
                self.rest()?;
            }
        }
        Ok(())
    }

    /// Octets of the message that a SEND brings or tells of.
    fn length(&self, slot: u32, byte_len: u32) -> Result<usize, String> {
        if self.words == Words::Send {
            return Ok(byte_len as usize);
        }
        let mut word = [0; 4];
        let at = slot as usize * self.slot_len;
        self.nic.incoming(self.slots.0, at, word.len()).map_err(said)?.copy_to(0, &mut word);
        Ok(u32::from_le_bytes(word) as usize)
    }

    fn rest(&mut self) -> Result<(), String> {
        // Without a hint to the processor that this is a spin: QEMU's emulation takes
        // its global lock for each, which the other processor needs to send a frame.
        if !self.sleeps {
            return Ok(());
        }
        if self.nic.arm_cq(self.cq, ArmFor::Solicited).map_err(said)? {
            return Ok(());
        }
        let mut fds = [PollFd::new(&self.nic, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(format!("a sleep: {error}")),
        }
    }
}

fn memory(
    nic: &mut IbvNic,
    pd: PdHandle,
    len: usize,
    used_for: MemoryUse,
    access: Access,
) -> Result<(MemHandle, MrAttributes), VerbsError> {
    let memory = nic.alloc_memory(len, used_for)?;
    let mr = nic.register(pd, memory, access)?;
    Ok((memory, nic.mr(mr)?))
}

impl End for Verbs {
    fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        let (memory, keys) = &self.outgoing;
        self.nic.outgoing(*memory, 0, octets.len()).map_err(said)?.copy_from_slice(octets);
        let sges = [Sge { addr: keys.iova, len: octets.len() as u32, lkey: keys.lkey }];
        let mut word = [0xfe; WORD_LEN];
        word[..4].copy_from_slice(&(octets.len() as u32).to_le_bytes());
        let (remote_addr, rkey) = (self.peer.0, smolsmc_wire::Rkey(self.peer.1));
        let write = SendRequest {
            wr_id: 0,
            operation: SendOperation::Write { remote_addr, rkey },
            payload: Payload::Registered(&sges),
            signalled: false,
            solicited: false,
        };
        let payload = match self.words {
            Words::WriteAndSend => Payload::Inline(&word),
            Words::Send => Payload::Registered(&sges),
        };
        let signalled = self.sent.is_multiple_of(SIGNALLED);
        self.sent += 1;
        let send =
            SendRequest { wr_id: 0, operation: SendOperation::Send, payload, signalled, solicited: true };
        let posted = match self.words {
            Words::WriteAndSend => self.nic.post_send(self.qp, &[write, send]),
            Words::Send => self.nic.post_send(self.qp, &[send]),
        };
        posted.map_err(|error| said(error.error))
    }

    fn receive(&mut self, octets: &mut [u8]) -> Result<(), String> {
        self.hear()?;
        let (slot, len, taken) = self.heard.ok_or("nothing was heard")?;
        let after = taken + octets.len();
        if after > len {
            return Err(format!("verbs: a message of {len} octets, not {after}"));
        }
        let (memory, at) = match self.words {
            Words::WriteAndSend => (self.incoming.0, taken),
            Words::Send => (self.slots.0, slot as usize * self.slot_len + taken),
        };
        self.nic.incoming(memory, at, octets.len()).map_err(said)?.copy_to(0, octets);
        self.heard = (after < len).then_some((slot, len, after));
        if after == len { self.post(slot) } else { Ok(()) }
    }
}
