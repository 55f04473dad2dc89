//! What a running node tells who asks: everything there is, as one JSON object,
//! on a socket beside it. Reading it changes nothing.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use smolsmc::{
    ConnectionSummary, Cursor, Duration, GroupSummary, Instant, ProducerFlags, RingSummary, Role,
    SocketStats, Stack, StackStats, StateFlags, Transport,
};

use crate::node::{Nic, sentence};

/// How often a node that never sleeps looks for somebody who asks.
const LOOK: Duration = Duration::from_millis(10);

/// Who asks at the same time at most; others wait in the socket's backlog.
const CLIENTS: usize = 8;

/// Whoever does not read his answer for so long gets no more of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket, and those to whom an answer is under way.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    next_look: Instant,
}

struct Client {
    stream: UnixStream,
    answer: Vec<u8>,
    written: usize,
    until: Instant,
}

impl Control {
    /// Makes the socket. A file that a node left there that does not live any more
    /// is removed.
    pub(crate) fn listen(path: &Path) -> Result<Self, String> {
        let named = |error: io::Error| format!("--control {}: {error}", path.display());
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                std::fs::remove_file(path).map_err(named)?;
                UnixListener::bind(path)
            }
            listener => listener,
        };
        let listener = listener.map_err(named)?;
        listener.set_nonblocking(true).map_err(named)?;
        Ok(Self { listener, path: path.to_owned(), clients: Vec::new(), next_look: Instant::ZERO })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// How long a node may sleep.
    pub(crate) fn patience(&self) -> Duration {
        if self.clients.is_empty() { Duration::from_secs(3600) } else { LOOK }
    }

    /// The node has slept, perhaps until somebody asked.
    pub(crate) const fn look_now(&mut self) {
        self.next_look = Instant::ZERO;
    }

    /// Answers who asks, as far as it goes without waiting.
    pub(crate) fn step(&mut self, now: Instant, stack: &Stack<Nic>, about: &Value) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        while self.clients.len() < CLIENTS
            && let Ok((stream, _)) = self.listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                let answer = format!("{}\n", snapshot(now, stack, about)).into_bytes();
                self.clients.push(Client { stream, answer, written: 0, until: now + PATIENCE });
            }
        }
        self.clients.retain_mut(|client| client.write() && now < client.until);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

impl Client {
    /// Whether there is more to be written.
    fn write(&mut self) -> bool {
        while let Some(rest) = self.answer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(len) if len > 0 => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                _ => return false,
            }
        }
        false
    }
}

fn is_stale(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn snapshot(now: Instant, stack: &Stack<Nic>, about: &Value) -> Value {
    let listeners: Vec<_> = stack
        .listeners()
        .iter()
        .map(|listener| {
            json!({ "local": listener.local.to_string(), "opening": listener.opening, "ready": listener.ready })
        })
        .collect();
    json!({
        "kind": "node", "node": about, "uptime_us": now.micros(), "listeners": listeners,
        "connections": stack.connections().iter().map(connection).collect::<Vec<_>>(),
        "groups": stack.groups().iter().map(group).collect::<Vec<_>>(),
        "stats": stats(&stack.stats()),
    })
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}

fn connection(connection: &ConnectionSummary) -> Value {
    let (group, link) = match connection.transport {
        Some(Transport::SmcR { group, link, .. }) => (Some(group.0), Some(link.0)),
        _ => (None, None),
    };
    let rings = connection.rings.map(|rings| {
        json!({
            "token": rings.token.0, "send": rings.send, "own": rings.own, "peer": rings.peer,
            "readable": rings.readable, "waiting": rings.waiting, "space": rings.space,
            "unacknowledged": rings.unacknowledged, "cursors": cursors(&rings),
        })
    });
    json!({
        "state": connection.state, "local": connection.local.to_string(),
        "remote": connection.remote.to_string(), "port": connection.port + 1,
        "role": role(connection.role), "released": connection.is_released,
        "mode": mode(connection.transport), "transport": connection.transport.map(|how| how.to_string()),
        "group": group, "link": link, "error": connection.error.map(sentence), "rings": rings,
        "stats": socket_stats(&connection.stats),
    })
}

/// As `smcss` writes them: `wrap:count` and `producer flags:state flags`, in hex.
fn cursors(rings: &RingSummary) -> Value {
    let at = |cursor: Cursor| format!("{:04x}:{:08x}", cursor.wrap, cursor.count);
    let flags = |(producer, state): (ProducerFlags, StateFlags)| {
        format!("{:02x}:{:02x}", producer.bits(), state.bits())
    };
    let cursors = &rings.cursors;
    json!({
        "rx_producer": at(cursors.rx_producer), "rx_consumer": at(cursors.rx_consumer),
        "rx_flags": flags(rings.rx_flags),
        "tx_producer": at(cursors.tx_producer), "tx_consumer": at(cursors.tx_consumer),
        "tx_flags": flags(rings.tx_flags),
        "tx_prepared": at(cursors.tx_prepared), "tx_sent": at(cursors.tx_sent),
        "tx_finished": at(cursors.tx_finished),
    })
}

/// As `smcss` writes it.
fn mode(transport: Option<Transport>) -> Option<String> {
    let codes = |local: Option<u32>, peer: Option<u32>| match (local, peer) {
        (Some(local), Some(peer)) => format!("TCP {local:#010x}/{peer:#010x}"),
        (Some(one), None) | (None, Some(one)) => format!("TCP {one:#010x}"),
        (None, None) => "TCP".to_owned(),
    };
    match transport? {
        Transport::Tcp(fallback) => {
            Some(codes(fallback.local.map(|code| code.0), fallback.peer.map(|code| code.0)))
        }
        _ => Some("SMCR".to_owned()),
    }
}

fn group(group: &GroupSummary) -> Value {
    let links = group.links.iter().map(|link| {
        json!({
            "link": link.number.0, "active": link.is_active, "port": link.port + 1,
            "gid": link.gid.to_string(), "peer_gid": link.peer_gid.map(|gid| gid.to_string()),
            "connections": link.connections, "in_flight": link.in_flight,
            "messages_sent": link.messages_sent, "messages_received": link.messages_received,
        })
    });
    json!({
        "group": group.number.0, "role": role(group.role), "peer_id": group.peer_id.to_string(),
        "connections": group.connections, "connections_ever": group.connections_ever,
        "max_conns": group.max_conns, "ending": group.is_ending, "peer_rmbs": group.peer_rmbs,
        "rings": {
            "octets": group.rings.octets, "in_use": group.rings.in_use, "free": group.rings.free,
            "reused": group.rings.reused, "deregistered": group.rings.deregistered,
        },
        "links": links.collect::<Vec<_>>(),
    })
}

fn socket_stats(stats: &SocketStats) -> Value {
    let messages = &stats.messages;
    json!({
        "octets_sent": stats.octets_sent, "octets_received": stats.octets_received,
        "sends": stats.sends, "receives": stats.receives,
        "sends_blocked": stats.sends_blocked, "receives_blocked": stats.receives_blocked,
        "cdc_sent": messages.sent, "cdc_updates": messages.updates, "cdc_blocked": messages.blocked,
        "cdc_heard": messages.heard, "writes": messages.writes,
        "urgent_sent": messages.urgent_sent, "urgent_heard": messages.urgent_heard,
    })
}

fn stats(stats: &StackStats) -> Value {
    let fallbacks = stats.fallback_reasons().map(|count| {
        let code = |code: Option<smolsmc::Diagnosis>| code.map(|code| format!("{:#010x}", code.0));
        let reason = count.fallback.local.or(count.fallback.peer).map(|code| code.to_string());
        json!({
            "local": code(count.fallback.local), "peer": code(count.fallback.peer), "text": reason,
            "client": count.as_client, "server": count.as_server,
        })
    });
    json!({
        "first_contacts_client": stats.first_contacts_as_client,
        "first_contacts_server": stats.first_contacts_as_server,
        "later_contacts_client": stats.later_contacts_as_client,
        "later_contacts_server": stats.later_contacts_as_server,
        "plain_tcp": stats.plain_tcp, "fallbacks": fallbacks.collect::<Vec<_>>(),
        "fallbacks_of_other_reasons": stats.fallbacks_of_other_reasons,
        "late_fallbacks": stats.late_fallbacks, "handshakes_failed": stats.handshakes_failed,
        "syns_dropped": stats.syns_dropped, "octets_sent": stats.octets_sent,
        "octets_received": stats.octets_received, "groups_made": stats.groups_made,
        "groups": stats.groups, "connections": stats.connections, "polls": stats.polls,
        "idle_polls": stats.idle_polls, "smcr": socket_stats(&stats.smcr),
        "version_1": stats.version_1, "corked": stats.corked, "nodelays": stats.nodelays,
        "rmbs_by_size": stats.rmbs_by_size.0, "send_rings_by_size": stats.send_rings_by_size.0,
        "sends_by_size": stats.sends_by_size.0, "receives_by_size": stats.receives_by_size.0,
    })
}
