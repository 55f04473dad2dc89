//! The way out of a connection's octets: RDMA WRITEs, and behind them the CDC
//! message that tells of them, on the same queue pair.

use smolsmc_cdc::{CdcMessage, ProducerFlags};
use smolsmc_llc::MAX_LINKS;
use smolsmc_rmb::{Piece, Write, Writes};
use smolsmc_verbs::{Payload, Provider, SendOperation, SendRequest, Sge, VerbsError};

use smolsmc_wire::SeqNo;

use crate::connection::{Phase, Smc};
use crate::error::ConnectionError;
use crate::group::{GroupKey, Link, Said, WRITE_BIT};
use crate::handle::SocketHandle;
use crate::shared::{Connections, Shared};

impl<P: Provider> Shared<P> {
    /// Lets every link say what its connections have to say, in turn, while
    /// there is room for messages (no room, no write), and until so many octets have
    /// been written that others have their turn. How many messages, and whether there
    /// is more.
    pub(crate) fn transmit(&mut self, connections: &mut Connections) -> (usize, bool) {
        let mut said = 0;
        let mut budget = self.config.limits.octets;
        while let Some(key) = self.ready.pop_front() {
            if let Some(group) = self.groups.get_mut(key) {
                group.is_queued = false;
            }
            for place in 0..MAX_LINKS {
                while budget > 0
                    && let Some((handle, more)) = self.one_turn(connections, key, place, &mut budget)
                {
                    said += 1;
                    if more && let Some(connection) = connections.get_mut(handle) {
                        self.queue(handle, connection);
                    }
                }
            }
            if budget == 0 {
                self.continue_later(key);
                return (said, !self.ready.is_empty());
            }
        }
        (said, false)
    }

    /// A group may have had to stop in the middle.
    #[cold]
    fn continue_later(&mut self, key: GroupKey) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if !group.is_queued && group.can_say() {
            group.is_queued = true;
            self.ready.push_back(key);
        }
    }

    /// One connection's turn on a link: which, and whether it has more to say.
    /// `None` if none is ready, or there is no room.
    fn one_turn(
        &mut self,
        connections: &mut Connections,
        key: GroupKey,
        place: usize,
        budget: &mut u32,
    ) -> Option<(SocketHandle, bool)> {
        let link = self.groups.get_mut(key)?.link_mut(place)?;
        let is_over = link.failed.is_some();
        if !is_over && !link.has_cdc_slot() {
            match link.unproven.takes_cdc() {
                _ if link.ready.is_empty() => {}
                true => link.slot_waits += 1,
                false => link.unproven.wait(),
            }
            return None;
        }
        let handle = link.ready.pop()?;
        let Some(Phase::Smc(smc)) = connections.get_mut(handle).map(|connection| &mut connection.phase)
        else {
            return Some((handle, false));
        };
        smc.is_queued = false;
        if is_over || smc.link != place || !smc.has_something_to_say() {
            return Some((handle, false));
        }
        let turn = self.config.limits.write_turn;
        let written = smc.flow.totals().0;
        match smc.say(&mut self.provider, link, handle, turn) {
            Ok(()) => {
                // At most a turn.
                *budget = budget.saturating_sub((smc.flow.totals().0 - written) as u32);
                let asks = link.unproven.is_due();
                let more = smc.has_something_to_say();
                if asks {
                    self.probe(key, place);
                }
                Some((handle, more))
            }
            Err(error) => {
                self.end_group(key, ConnectionError::Exhausted(error));
                Some((handle, false))
            }
        }
    }
}

impl Smc {
    /// Writes up to `turn` octets, and sends the CDC message behind them.
    #[inline]
    fn say<P: Provider>(
        &mut self,
        provider: &mut P,
        link: &mut Link,
        handle: SocketHandle,
        turn: u32,
    ) -> Result<(), VerbsError> {
        if let Some(seq) = self.validate.take() {
            return self.validate(provider, link, handle, seq);
        }
        self.say_again = false;
        self.go();
        let len = self.may_grant().min(turn);
        let (from, to) = self.flow.write_offsets();
        let sizes = self.flow.sizes();
        let plan = Writes::plan(from, sizes.send, to, sizes.peer, len);
        if len > 0 {
            self.flow.write(len);
        }
        let flags = self.sayable();
        let message = self.flow.message(self.peer.token, flags);
        let mut octets = [0; CdcMessage::LEN];
        message.emit(&mut octets);

        let mut sges = [[Sge::default(); 2]; 2];
        for (sges, write) in sges.iter_mut().zip(plan.as_slice()) {
            for (sge, piece) in sges.iter_mut().zip(write.pieces()) {
                *sge = self.sge(*piece);
            }
        }
        let (written, _) = self.flow.totals();
        let tells = written > core::mem::replace(&mut self.told, written);
        if tells {
            self.proof.told(written, link.unproven.next());
        }
        let said = Said::Cdc { connection: handle, mark: self.flow.mark() };
        self.is_silent = tells && self.may_be_silent() && link.may_be_silent();
        let signalled = !self.is_silent;
        match (plan.as_slice(), &sges) {
            ([], _) => link.post(provider, &[], &octets, said, signalled)?,
            ([one], [first, _]) => {
                link.post(provider, &[self.request(one, first)], &octets, said, signalled)?;
            }
            ([one, two, ..], [first, second]) => {
                let writes = [self.request(one, first), self.request(two, second)];
                link.post(provider, &writes, &octets, said, signalled)?;
            }
        }
        self.said = flags;
        self.answers = false;
        self.in_flight += 1;
        self.count(&message, &plan, tells);
        Ok(())
    }

    /// Whether nobody waits for the message's completion. A later one will tell,
    /// of this connection or another: the close's at the latest, as whoever ends
    /// says D, C or A. Until then there is room enough to send, and autocork
    /// holds nothing. So it is with answers; who sends without being asked will
    /// fill the ring, or wants to be held back.
    #[inline]
    const fn may_be_silent(&self) -> bool {
        let half = self.flow.sizes().send / 2;
        self.answers && self.close.said().is_empty() && self.flow.room() >= half
    }

    #[inline]
    fn count(&mut self, message: &CdcMessage, plan: &Writes, tells: bool) {
        self.stats.sent += 1;
        self.stats.writes += plan.as_slice().len() as u64;
        self.stats.updates += u64::from(!tells);
        self.stats.blocked += u64::from(message.producer_flags.contains(ProducerFlags::WRITE_BLOCKED));
    }

    /// The first word on a new link (RFC 7609 §4.6.1).
    #[cold]
    fn validate<P: Provider>(
        &mut self,
        provider: &mut P,
        link: &mut Link,
        handle: SocketHandle,
        seq: SeqNo,
    ) -> Result<(), VerbsError> {
        let message = CdcMessage::failover_validation(self.peer.token, seq);
        let mut octets = [0; CdcMessage::LEN];
        message.emit(&mut octets);
        link.post(provider, &[], &octets, Said::Validation { connection: handle }, true)?;
        self.is_silent = false;
        self.in_flight += 1;
        Ok(())
    }

    const fn sge(&self, piece: Piece) -> Sge {
        let keys = self.send_keys;
        Sge { addr: keys.iova + piece.offset as u64, len: piece.len, lkey: keys.lkey }
    }

    /// Unsignalled: the completion of the SEND behind it tells.
    fn request<'a>(&self, write: &Write, sges: &'a [Sge; 2]) -> SendRequest<'a> {
        let pieces = sges.get(..write.pieces().len()).unwrap_or_default();
        SendRequest {
            wr_id: WRITE_BIT,
            operation: SendOperation::Write {
                remote_addr: self.peer.address + u64::from(write.to),
                rkey: self.peer.rkey,
            },
            payload: Payload::Registered(pieces),
            signalled: false,
            solicited: false,
        }
    }
}
