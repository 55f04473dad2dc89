//! The way from the application into the send ring, or into TCP's buffer.

use smolsmc_cdc::StateFlags;
use smolsmc_verbs::Provider;

use super::Socket;
use crate::connection::{Phase, Smc};
use crate::error::{ConnectionError, SendError};

impl<P: Provider> Socket<'_, P> {
    /// Sends octets, as many as there is room for; returns how many.
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] if there is no room, or no connection yet.
    pub fn send(&mut self, octets: &[u8]) -> Result<usize, SendError> {
        if octets.is_empty() {
            return Ok(0);
        }
        let sent = self.put(octets);
        self.sent(sent)
    }

    /// Sends octets gathered from several places, as many as there is room for;
    /// returns how many in all.
    ///
    /// # Errors
    /// As [`Socket::send`], if not a single octet could be sent.
    pub fn send_vectored(&mut self, pieces: &[&[u8]]) -> Result<usize, SendError> {
        let mut sent = 0;
        for octets in pieces.iter().filter(|octets| !octets.is_empty()) {
            match self.put(octets) {
                Ok(here) => {
                    sent += here;
                    if here < octets.len() {
                        break;
                    }
                }
                Err(error) if sent == 0 => return self.sent(Err(error)),
                Err(_) => break,
            }
        }
        self.sent(Ok(sent))
    }

    /// Lends room where octets wait to be sent, to be filled in place: at most
    /// `max` octets in one piece, at least one; more may be had after
    /// [`Socket::commit`]. What it holds is not defined, but never what another
    /// connection sent. Nothing is sent before
    /// `commit`; whatever else is done with the socket forgets the loan.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub fn reserve(&mut self, max: usize) -> Result<&mut [u8], SendError> {
        self.reserved = 0;
        let room = self.room();
        if room == Err(SendError::WouldBlock) {
            self.connection.stats.sends_blocked += 1;
        }
        let len = room?.min(max);
        let lent = match &mut self.connection.phase {
            Phase::Smc(smc) => {
                let offset = smc.flow.prepare_offset();
                let len = len.min((smc.flow.sizes().send - offset) as usize);
                smc.lent = smc.lent.max(smc.flow.prepared() + len as u64);
                let provider = &mut self.shared.provider;
                provider
                    .outgoing(smc.send.memory, offset as usize, len)
                    .map_err(|error| SendError::Over(ConnectionError::Exhausted(error)))?
            }
            _ => {
                let lent = self.connection.tcp.lend().ok_or(SendError::ShutDown)?;
                let len = len.min(lent.len());
                lent.get_mut(..len).unwrap_or_default()
            }
        };
        self.reserved = lent.len();
        Ok(lent)
    }

    /// Sends the first `n` octets of what [`Socket::reserve`] lent; at most as
    /// many as it lent count. Returns how many.
    ///
    /// # Errors
    /// As [`Socket::send`], if sending was shut down since.
    pub fn commit(&mut self, n: usize) -> Result<usize, SendError> {
        let n = n.min(core::mem::take(&mut self.reserved)).min(self.room()?);
        match &mut self.connection.phase {
            // At most the ring.
            Phase::Smc(smc) => {
                smc.flow.prepare(n as u32);
                smc.let_pass();
            }
            _ => self.connection.tcp.commit(n),
        }
        self.sent(Ok(n))
    }

    /// Octets there is room for: at least one.
    pub(super) fn room(&self) -> Result<usize, SendError> {
        let room = match &self.connection.phase {
            Phase::Opening | Phase::Rendezvous(_) => 0,
            Phase::Over(error) => return Err(SendError::Over(*error)),
            Phase::Smc(smc) => match smc.send_error() {
                Some(error) => return Err(error),
                None => smc.flow.room() as usize,
            },
            Phase::Tcp(_) => {
                let tcp = &self.connection.tcp;
                match tcp.may_send() {
                    true => tcp.room(),
                    false if tcp.is_reset() => return Err(SendError::Over(ConnectionError::Reset)),
                    false => return Err(SendError::ShutDown),
                }
            }
        };
        if room == 0 { Err(SendError::WouldBlock) } else { Ok(room) }
    }

    /// Takes octets over, without a thought for what follows.
    #[inline]
    fn put(&mut self, octets: &[u8]) -> Result<usize, SendError> {
        self.reserved = 0;
        let len = octets.len().min(self.room()?);
        let octets = octets.get(..len).unwrap_or_default();
        match &mut self.connection.phase {
            Phase::Smc(smc) => {
                let passed = self.shared.pass(smc, octets);
                let rest = octets.get(passed..).unwrap_or_default();
                Ok(passed + smc.put(&mut self.shared.provider, rest))
            }
            _ => self.connection.tcp.send_slice(octets).ok_or(SendError::ShutDown),
        }
    }
}

impl Smc {
    /// Why nothing can be sent any more.
    pub(crate) fn send_error(&self) -> Option<SendError> {
        if let Some(error) = self.error {
            return Some(SendError::Over(error));
        }
        if !self.close.said().is_empty() {
            return Some(SendError::ShutDown);
        }
        let c_or_a = StateFlags::CLOSED.union(StateFlags::ABNORMAL_CLOSE);
        self.flow.peer_state().intersects(c_or_a).then_some(SendError::PeerClosed)
    }

    /// Copies octets, for which there is room, into the send ring.
    #[inline]
    pub(super) fn put<P: Provider>(&mut self, provider: &mut P, octets: &[u8]) -> usize {
        let mut rest = octets;
        while !rest.is_empty() {
            let offset = self.flow.prepare_offset();
            let to_end = (self.flow.sizes().send - offset) as usize;
            let (now, later) = rest.split_at(rest.len().min(to_end));
            let Ok(memory) = provider.outgoing(self.send.memory, offset as usize, now.len()) else { break };
            memory.copy_from_slice(now);
            // Both are at most the ring.
            self.flow.prepare(now.len() as u32);
            rest = later;
        }
        self.let_pass();
        octets.len() - rest.len()
    }
}
