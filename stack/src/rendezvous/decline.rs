//! Decline, said or heard, in time or late.

use smolsmc_clc::{Decline, Diagnosis, Eyecatcher, Header, Message, MessageType, Os};
use smolsmc_llc::DownReason;
use smolsmc_verbs::Provider;

use super::{Next, Step, read_message, say, take_half};
use crate::connection::{Connection, Phase, Rendezvous};
use crate::error::ConnectionError;
use crate::event::Event;
use crate::handle::SocketHandle;
use crate::shared::Shared;
use crate::transport::Fallback;

impl<P: Provider> Shared<P> {
    /// Says that this connection stays with TCP, and why.
    pub(super) fn decline(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        why: Diagnosis,
    ) -> Step {
        let decline = match self.config.smc_v2 {
            true => Decline::v2(self.peer_id, why, Os::UNKNOWN),
            false => Decline::v1(self.peer_id, why),
        };
        self.decline_with(handle, connection, decline)
    }

    pub(super) fn decline_with(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        decline: Decline,
    ) -> Step {
        say(connection, &decline.into())?;
        // While a link is confirmed, either side may decline at any time.
        connection.may_cross = matches!(connection.phase, Phase::Rendezvous(Rendezvous::Link(_)));
        self.drop_half(handle, connection);
        self.fall_back(handle, connection, Fallback { local: Some(decline.diagnosis), peer: None })
    }

    pub(super) fn declined(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        decline: &Decline,
    ) -> Step {
        if decline.out_of_sync
            && let Phase::Rendezvous(rendezvous) = &mut connection.phase
            && let Some(half) = rendezvous.half_mut()
        {
            let key = half.group;
            self.end_group(key, ConnectionError::OutOfSync);
        }
        self.drop_half(handle, connection);
        let fallback = Fallback { local: Some(Diagnosis::PEER_DECLINED), peer: Some(decline.diagnosis) };
        self.fall_back(handle, connection, fallback)
    }

    /// The peer speaks CLC although SMC-R seems agreed on: its Decline may be
    /// late, if what we last said on the link never reached it (seen from Linux
    /// 6.12, 5.1 s after the Confirm). It goes on with TCP, and so do we, with
    /// what was sent in the meantime; unless some of that has been acknowledged.
    pub(super) fn late_word(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        let Some(Message::Decline(decline)) = read_message(connection)? else {
            // Half a message is no reason to doubt for longer.
            return self.doubt_step(connection);
        };
        let Phase::Smc(smc) = &mut connection.phase else { return Ok(Next::Wait) };
        let (key, first_contact) = (smc.group, smc.transport.is_first_contact());
        let unsent = smc.flow.untouched().and_then(|len| {
            let octets = self.provider.outgoing(smc.send.memory, 0, len as usize).ok()?;
            connection.tcp.send_whole(octets).then_some(())
        });
        let fallback = Fallback { local: Some(Diagnosis::PEER_DECLINED), peer: Some(decline.diagnosis) };
        if unsent.is_none() || connection.options.strict {
            let Fallback { local, peer } = fallback;
            return Err(ConnectionError::NotSmc { local, peer });
        }
        let ended_here = smc.close.said();
        let part = smc.part();
        connection.stats.messages = smc.stats;
        self.stats.late_fallbacks += 1;
        self.stats.fallback(fallback, connection.role);
        connection.phase = Phase::Tcp(fallback);
        connection.apply_cork(0);
        connection.phase_until = None;
        self.events.tell(Event::FellBack { socket: handle, fallback });
        if !ended_here.is_empty() {
            connection.tcp.close();
        }
        self.release(part, false);
        // Of a group that carries others already, only this connection is declined.
        if first_contact {
            self.end_group(key, ConnectionError::LinkDown(DownReason::ConfirmLinkTimeout));
        }
        self.readiness_changed = true;
        Ok(Next::Wait)
    }

    /// The link failed early, and no Decline has come: if none comes in the time
    /// of a CLC message, that is the end.
    pub(super) fn doubt_step(&mut self, connection: &mut Connection) -> Step {
        let past = self.is_past(connection);
        let Phase::Smc(smc) = &mut connection.phase else { return Ok(Next::Wait) };
        if (past || connection.tcp.is_at_end())
            && let Some(why) = smc.doubt.take()
        {
            smc.fail(why);
            connection.tcp.abort();
            connection.phase_until = None;
            self.readiness_changed = true;
        }
        Ok(Next::Wait)
    }

    /// We have declined, and the peer may have, before it heard us: what it said
    /// is not for the application. Nor is a Proposal of a peer whose SYN crossed
    /// ours: it is declined.
    pub(super) fn crossing_step(&mut self, connection: &mut Connection) -> Step {
        let crossed = connection.is_crossed;
        let is_ours = |header: &Header| {
            header.message_type == MessageType::DECLINE
                || (crossed && header.message_type == MessageType::PROPOSAL)
        };
        let tcp = &mut connection.tcp;
        let there = tcp.readable();
        if there == 0 && !tcp.is_at_end() {
            return Ok(Next::Wait);
        }
        if let Some(start) = tcp.peek(Header::LEN) {
            let header = Header::parse(start).ok().filter(is_ours);
            match header.map(|header| (header.message_type, header.message_len())) {
                Some((kind, len)) if len <= there => {
                    tcp.skip(len);
                    if kind == MessageType::PROPOSAL {
                        // Linux 6.12 proposes although its SYN was crossed.
                        let decline = Decline::v2(self.peer_id, Diagnosis::MODE_MISMATCH, Os::UNKNOWN);
                        say(connection, &decline.into())?;
                    }
                }
                Some(_) if !tcp.is_at_end() => return Ok(Next::Wait),
                _ => {}
            }
        } else if !connection.tcp.is_at_end()
            && connection.tcp.peek(there).is_some_and(|start| Eyecatcher::Smcr.octets().starts_with(start))
        {
            return Ok(Next::Wait);
        }
        connection.may_cross = false;
        self.readiness_changed = true;
        Ok(Next::Wait)
    }

    pub(super) fn drop_half(&mut self, handle: SocketHandle, connection: &mut Connection) {
        if let Some(half) = take_half(connection) {
            self.release_half(handle, half);
        }
    }
}
