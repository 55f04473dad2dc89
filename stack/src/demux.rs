//! Whose a frame is: RDMA's, a connection's, a listener's, or nobody's.

use smolsmc_clc::SynKind;
use smolsmc_llc::Role;
use smolsmc_verbs::{FrameEngine, Provider};
use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp::State;

use crate::connection::Phase;
use crate::deadlines::Due;
use crate::handle::SocketHandle;
use crate::port::{Port, Segment, ToTcp, Tuple, Untagged, is_stray_roce};
use crate::shared::{Connections, Shared};
use crate::time_wait::Verdict;

impl<P: Provider> Shared<P> {
    /// A frame has come on port `index`.
    #[inline]
    pub(crate) fn frame(
        &mut self,
        connections: &mut Connections,
        nobody: &mut SocketSet<'static>,
        index: usize,
        port: &mut Port,
        frame: &[u8],
        to_tcp: ToTcp<'_>,
    ) {
        if let Some(rdma) = port.rdma
            && let Some(engine) = self.provider.frames()
            && engine.take_own(self.now, rdma, frame)
        {
            return;
        }
        let untagged = port.untagged(frame);
        let frame = match &untagged {
            Untagged::Plain(frame) => frame,
            Untagged::Stripped(frame, len) => frame.get(..*len).unwrap_or_default(),
            Untagged::Foreign => return,
        };
        match Segment::of(frame) {
            Some(segment) if port.has_address(segment.to.ip()) => {
                self.segment(connections, nobody, index, port, (&segment, frame), to_tcp);
            }
            // To a GID that is not ours, or no more: as Linux, say nothing.
            None if is_stray_roce(frame) => {}
            _ => {
                to_tcp(port, frame, nobody);
                self.neighbour_perhaps(connections);
            }
        }
    }

    fn segment(
        &mut self,
        connections: &mut Connections,
        nobody: &mut SocketSet<'static>,
        index: usize,
        port: &mut Port,
        (segment, frame): (&Segment, &[u8]),
        to_tcp: ToTcp<'_>,
    ) {
        let tuple = Tuple { port: index, local: segment.to, remote: segment.from };
        let known = self.by_tuple.get(&tuple).copied();
        if known.is_none() && self.time_waits.len() > 0 && segment.is_sound(frame) {
            let until = self.now + self.config.timers.time_wait;
            let is_listened = segment.kind == SynKind::Syn
                && self.listeners.values().any(|listener| listener.takes(segment.to));
            if self.time_waits.hear(&tuple, segment, until, is_listened) == Verdict::Taken {
                return;
            }
        }
        let handle = match (known, segment.kind) {
            (Some(handle), _) => handle,
            (None, SynKind::Syn) if self.listeners.values().any(|listener| listener.takes(segment.to)) => {
                match self.knock(connections, tuple) {
                    Some(handle) => handle,
                    // No room: dropped, and the client tries again.
                    None => {
                        self.stats.syns_dropped += 1;
                        return;
                    }
                }
            }
            // smoltcp answers with RST.
            _ => return to_tcp(port, frame, nobody),
        };
        let Some(connection) = connections.get_mut(handle) else { return };
        if matches!(connection.phase, Phase::Opening) {
            connection.peer_mac = segment.from_mac;
            connection.peer_option |= segment.option;
        }
        if let Some(quiet) = &mut connection.tcp.quiet {
            if segment.is_sound(frame) {
                quiet.hear(segment);
                self.touch(handle, connection);
            }
            return;
        }
        let was_opening = connection.tcp.state() == State::SynSent;
        to_tcp(port, frame, &mut connection.tcp.set);
        connection.is_crossed |= was_opening && connection.tcp.state() == State::SynReceived;
        connection.tcp.look(self.now);
        if matches!(connection.phase, Phase::Tcp(_)) {
            self.readiness_changed = true;
        }
        if connection.tcp.state() == State::Listen {
            // The SYN was none after all: a wrong checksum, say; or a RST took it
            // back.
            self.handshake_over(tuple.remote.ip());
            if let Some(listener) = connection.listener.and_then(|listener| self.listeners.get_mut(listener))
            {
                listener.opening -= 1;
            }
            self.by_tuple.remove(&tuple);
            self.opening.remove(&handle);
            self.deadlines.forget(&mut connection.deadline, Due::Connection(handle));
            self.spare.give_back(connection.tcp.take_set());
            connections.remove(handle);
            return;
        }
        self.touch(handle, connection);
    }

    /// A SYN for a listener: a connection for it, if there is room.
    fn knock(&mut self, connections: &mut Connections, tuple: Tuple) -> Option<SocketHandle> {
        let limits = &self.config.limits;
        let from = tuple.remote.ip();
        let same_source = self.handshakes_from.get(&from).copied().unwrap_or(0);
        let full = connections.len() >= limits.connections
            || self.handshakes >= limits.handshakes
            || same_source >= limits.handshakes_per_source;
        if full {
            return None;
        }
        let takes = |(_, listener): &(_, &crate::listener::Listener)| listener.takes(tuple.local);
        let (key, listener) = self.listeners.iter().find(takes)?;
        if !listener.has_room() {
            return None;
        }
        let options = listener.options.socket;
        let mut connection = self.new_connection(tuple, Role::Server, options, Some(key));
        if !connection.tcp.listen(tuple.local) {
            return None;
        }
        self.listeners.get_mut(key)?.opening += 1;
        self.handshakes += 1;
        *self.handshakes_from.entry(from).or_default() += 1;
        let handle = connections.insert(connection);
        self.by_tuple.insert(tuple, handle);
        Some(handle)
    }

    /// A frame that is no TCP may tell a neighbour's address: SYNs and SYN-ACKs
    /// that wait for it can go.
    fn neighbour_perhaps(&mut self, connections: &mut Connections) {
        // Those that go on waiting come back when they were served.
        for handle in core::mem::take(&mut self.opening) {
            if let Some(connection) = connections.get_mut(handle) {
                self.touch(handle, connection);
            }
        }
    }
}
