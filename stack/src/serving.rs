//! What leaves in a poll: connections that something happened to are served, and
//! frames of RoCE share each port's room with those of TCP.

use alloc::collections::VecDeque;

use smolsmc_verbs::Provider;
use smolsmc_wire::Instant;
use smoltcp::phy::Device;
use smoltcp::socket::tcp::State;

use crate::connection::Connection;
use crate::deadlines::Due;
use crate::handle::SocketHandle;
use crate::port::{Port, TcpOut};
use crate::shared::Shared;
use crate::stack::Stack;

/// In which of a port's lines a connection waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Of those that go on.
    Blocked,
    /// Of those that begin.
    Beginning,
}

impl Line {
    const fn of(connection: &Connection) -> Self {
        match connection.begins() {
            true => Self::Beginning,
            false => Self::Blocked,
        }
    }
}

impl Port {
    const fn line(&mut self, line: Line) -> &mut VecDeque<SocketHandle> {
        match line {
            Line::Blocked => &mut self.blocked,
            Line::Beginning => &mut self.beginning,
        }
    }
}

impl<P: Provider> Stack<P> {
    /// Serves each connection that something happened to; whether some are left. Those
    /// that begin are put in line for [`Stack::begin`].
    pub(crate) fn serve<D: Device>(&mut self, devices: &mut [D]) -> bool {
        if self.shared.is_port_full {
            self.serve_those_in_line(devices);
        }
        for _ in 0..self.shared.dirty.len() {
            let Some(handle) = self.shared.dirty.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(handle) else { continue };
            connection.is_dirty = false;
            let line = Line::of(connection);
            if line == Line::Beginning && !connection.is_blocked {
                connection.is_blocked = true;
                self.shared.line_up(connection.tuple.port, line, handle);
            } else if self.serve_one(handle, devices) {
                self.line_up(handle);
            }
        }
        !self.shared.dirty.is_empty()
    }

    #[cold]
    fn serve_those_in_line<D: Device>(&mut self, devices: &mut [D]) {
        for index in 0..self.shared.ports.len() {
            if self.shared.ports.get(index).is_some_and(|port| port.begin_turn.go_first()) {
                self.begin_first(index, devices);
            }
            self.serve_line(index, Line::Blocked, usize::MAX, devices);
        }
    }

    /// Lets connections begin where there is room left: who goes on goes before, for
    /// what has begun takes up memory until it ends. In turn with all others one begins
    /// first, so that they do not wait for ever.
    #[inline]
    pub(crate) fn begin<D: Device>(&mut self, devices: &mut [D]) {
        if self.shared.is_port_full {
            self.begin_there_are(devices);
        }
    }

    fn begin_there_are<D: Device>(&mut self, devices: &mut [D]) {
        let mut is_full = false;
        for index in 0..self.shared.ports.len() {
            let sent = |port: &Port| port.tcp_sent || port.roce_sent;
            let others_sent = self.shared.ports.get(index).is_some_and(sent);
            let is_left = self.serve_line(index, Line::Beginning, usize::MAX, devices);
            if is_left {
                self.left_in_line(index);
            }
            let Some(port) = self.shared.ports.get_mut(index) else { return };
            port.begin_turn.over(is_left, others_sent);
            (port.tcp_sent, port.roce_sent) = (false, false);
            is_full |= is_left || !port.blocked.is_empty() || port.roce_turn.go_first();
        }
        self.shared.is_port_full = is_full;
    }

    #[cold]
    fn begin_first<D: Device>(&mut self, index: usize, devices: &mut [D]) {
        if !self.serve_line(index, Line::Beginning, 1, devices)
            && let Some(port) = self.shared.ports.get_mut(index)
        {
            port.begin_turn.went_first();
        }
    }

    /// Connections found no room to begin.
    #[cold]
    fn left_in_line(&mut self, index: usize) {
        let Self { connections, shared, .. } = self;
        let Some(port) = shared.ports.get(index) else { return };
        // Those that have come last were not looked at yet, and may wait long.
        for at in (0..port.beginning.len()).rev() {
            let found = shared.ports.get(index).and_then(|port| port.beginning.get(at)).copied();
            let Some(handle) = found else { return };
            let Some(connection) = connections.get_mut(handle) else { continue };
            if connection.deadline.at.is_some() {
                return;
            }
            let due = shared.tcp_due(connection);
            shared.set_connection_deadline(handle, connection, due);
        }
    }

    /// Who found a port without room goes first, in turn, as long as there is room:
    /// else those that come later would take it, and who closes would never end.
    /// Whether some, of `most`, had to stay.
    fn serve_line<D: Device>(&mut self, index: usize, line: Line, most: usize, devices: &mut [D]) -> bool {
        let Self { connections, shared, .. } = self;
        let Some(port) = shared.ports.get_mut(index) else { return false };
        let waiting = port.line(line);
        // The places of those that are gone.
        if waiting.len() > 2 * connections.len() + 16 {
            waiting.retain(|handle| connections.contains_key(*handle));
        }
        for _ in 0..waiting.len().min(most) {
            let port = self.shared.ports.get_mut(index);
            let Some(handle) = port.and_then(|port| port.line(line).pop_front()) else { return false };
            let Some(connection) = self.connections.get_mut(handle) else { continue };
            connection.is_blocked = false;
            if self.serve_one(handle, devices) {
                if let Some(port) = self.shared.ports.get_mut(index) {
                    port.line(line).push_front(handle);
                }
                return true;
            }
        }
        false
    }

    fn line_up(&mut self, handle: SocketHandle) {
        if let Some(connection) = self.connections.get(handle) {
            self.shared.line_up(connection.tuple.port, Line::of(connection), handle);
        }
    }

    /// Takes a connection as far as it can go, and lets its TCP send. Whether it is to
    /// stand in a line of its port from now on.
    fn serve_one<D: Device>(&mut self, handle: SocketHandle, devices: &mut [D]) -> bool {
        let Self { connections, shared, .. } = self;
        let Some(connection) = connections.get_mut(handle) else { return false };
        shared.advance(handle, connection);
        shared.look_after(handle, connection);
        // Who waits for room has a place in turn.
        let was_blocked = connection.is_blocked;
        let (out, mut due) = match was_blocked {
            true => (TcpOut::Blocked, shared.tcp_due(connection)),
            false => shared.tcp_out(connection, devices),
        };
        if connection.needs_no_buffers()
            && let Some(set) = connection.tcp.become_quiet()
        {
            shared.spare.give_back(set);
            due = None;
        }
        // What was sent may be all that an end waited for.
        if shared.is_gone(connection) && !shared.owes_last_ack(connection) {
            shared.by_tuple.remove(&connection.tuple);
            shared.deadlines.forget(&mut connection.deadline, Due::Connection(handle));
            shared.enter_time_wait(connection);
            shared.spare.give_back(connection.tcp.take_set());
            connections.remove(handle);
            shared.readiness_changed = true;
            return false;
        }
        match out {
            TcpOut::More => shared.touch(handle, connection),
            TcpOut::Blocked => connection.is_blocked = true,
            // Its SYN or SYN-ACK waits for the address of its neighbour.
            TcpOut::Done if connection.has_said_nothing() => {
                shared.opening.insert(handle);
            }
            TcpOut::Done => {}
        }
        shared.notice(handle, connection);
        shared.set_connection_deadline(handle, connection, due);
        connection.is_blocked && !was_blocked
    }

    /// On ports where TCP's frames left those of RoCE no room, RoCE goes first, and the
    /// next time TCP: in turn, neither waits until the other has nothing more to say.
    #[inline]
    pub(crate) fn frames_out_first<D: Device>(&mut self, devices: &mut [D]) -> usize {
        match self.shared.is_port_full {
            true => self.frames_out_there_are(devices),
            false => 0,
        }
    }

    #[cold]
    fn frames_out_there_are<D: Device>(&mut self, devices: &mut [D]) -> usize {
        let Shared { ports, provider, now, config, .. } = &mut self.shared;
        let Some(engine) = provider.frames() else { return 0 };
        let mut given = 0;
        for (port, device) in ports.iter_mut().zip(devices).filter(|(port, _)| port.roce_turn.go_first()) {
            let (here, _) = port.frames_out(*now, device, engine, config.limits.frames);
            if here > 0 {
                port.roce_turn.went_first();
            }
            given += here;
        }
        given
    }

    /// Gives frames of RoCE to the ports; how many, and whether there may be more.
    pub(crate) fn frames_out<D: Device>(&mut self, devices: &mut [D]) -> (usize, bool) {
        let Shared { ports, provider, now, config, is_port_full, .. } = &mut self.shared;
        let Some(engine) = provider.frames() else { return (0, false) };
        let (mut given, mut full) = (0, false);
        for (port, device) in ports.iter_mut().zip(devices) {
            let (here, is_blocked) = port.frames_out(*now, device, engine, config.limits.frames);
            port.roce_turn.over(is_blocked, port.tcp_sent);
            *is_port_full |= is_blocked;
            full |= here == config.limits.frames;
            given += here;
        }
        (given, full)
    }
}

impl<P: Provider> Shared<P> {
    /// A connection stands in a line of its port.
    fn line_up(&mut self, port: usize, line: Line, handle: SocketHandle) {
        if let Some(port) = self.ports.get_mut(port) {
            port.line(line).push_back(handle);
            self.is_port_full = true;
        }
    }

    /// Lets a connection's TCP send; and when it wants to be polled again.
    fn tcp_out<D: Device>(
        &mut self,
        connection: &mut Connection,
        devices: &mut [D],
    ) -> (TcpOut, Option<Instant>) {
        connection.tcp.mind_timeout();
        let (now, most) = (self.now, self.config.limits.frames);
        if connection.tcp.would_forget(now) {
            return (TcpOut::Done, None);
        }
        let index = connection.tuple.port;
        let (Some(port), Some(device)) = (self.ports.get_mut(index), devices.get_mut(index)) else {
            return (TcpOut::Done, None);
        };
        port.tcp_out(now, device, connection, most)
    }

    fn tcp_due(&mut self, connection: &mut Connection) -> Option<Instant> {
        let now = self.now;
        let port = self.ports.get_mut(connection.tuple.port);
        let port = port.filter(|_| !connection.tcp.would_forget(now));
        port.and_then(|port| port.tcp_due(now, &mut connection.tcp))
    }

    /// Whether the device had no room for the ACK of the peer's FIN: nobody would say
    /// it again before the peer's next FIN.
    fn owes_last_ack(&mut self, connection: &mut Connection) -> bool {
        let (now, tcp) = (self.now, &mut connection.tcp);
        let port = self.ports.get_mut(connection.tuple.port);
        let port = port.filter(|_| tcp.quiet.is_none() && tcp.state() == State::TimeWait);
        port.and_then(|port| port.tcp_due(now, tcp)).is_some_and(|at| at <= now)
    }

    fn set_connection_deadline(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        due: Option<Instant>,
    ) {
        // What smoltcp calls due at once waits for a device with room, or for an
        // address: both come with the next poll.
        let soon = self.now + smolsmc_wire::Duration::from_millis(1);
        let blocked = connection.is_blocked.then_some(soon);
        let at = due.map(|at| at.max(soon)).into_iter().chain(blocked).chain(connection.phase_until).min();
        self.deadlines.set(&mut connection.deadline, Due::Connection(handle), at);
    }
}
