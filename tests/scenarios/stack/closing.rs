use std::collections::BTreeSet;

use smolsmc::{ConnectionError, RecvError, SendError, SocketHandle};
use smolsmc_cdc::{Close, CloseEvent, CloseState, StateFlags};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, send_some};

const OTHER: [usize; 2] = [SERVER, CLIENT];

#[test]
fn half_close_by_either_side() {
    for first in [CLIENT, SERVER] {
        let mut pair = Pair::new(11);
        let (client, server) = pair.connect();
        let sockets = [client, server];
        let second = OTHER[first];
        let sent = send_some(&mut pair.lan, (first, sockets[first]), 7, 0, 3000);
        pair.lan.stack(first).socket(sockets[first]).unwrap().shutdown();
        let error = pair.lan.stack(first).socket(sockets[first]).unwrap().send(b"more");
        assert_eq!(error, Err(SendError::ShutDown));
        assert_eq!(pair.read_to_end((second, sockets[second])), sent);
        // The other direction goes on.
        pair.transfer((second, sockets[second]), (first, sockets[first]), 200_000);
        pair.close(second, sockets[second]);
        assert_eq!(pair.read_to_end((first, sockets[first])), 0);
        pair.close(first, sockets[first]);
        pair.until_closed();
        pair.explain();
    }
}

#[test]
fn what_was_sent_before_close_arrives() {
    let mut pair = Pair::new(12);
    let (client, server) = pair.connect();
    let mut sent = 0;
    // More than the peer's ring: some of it waits for the reader.
    for _ in 0..20 {
        sent += send_some(&mut pair.lan, (CLIENT, client), 7, sent, 1 << 20);
        pair.lan.run_for(Duration::from_millis(1));
    }
    assert!(sent > 100_000, "{sent}");
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), sent);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.explain();
}

#[test]
fn close_with_octets_unread_is_an_abort() {
    let mut pair = Pair::new(13);
    let (client, server) = pair.connect();
    send_some(&mut pair.lan, (CLIENT, client), 7, 0, 1000);
    pair.lan.run_for(Duration::from_millis(10));
    pair.close(SERVER, server);
    pair.until_aborted(CLIENT, client);
    pair.close(CLIENT, client);
    pair.until_closed();
    pair.explain();
}

#[test]
fn abort_is_told_by_either_side() {
    for first in [CLIENT, SERVER] {
        let mut pair = Pair::new(14);
        let (client, server) = pair.connect();
        let sockets = [client, server];
        pair.lan.stack(first).socket(sockets[first]).unwrap().abort();
        let second = OTHER[first];
        pair.until_aborted(second, sockets[second]);
        let sent = pair.lan.stack(second).socket(sockets[second]).unwrap().send(b"x");
        assert_eq!(sent, Err(SendError::Over(ConnectionError::PeerAborted)));
        pair.close(second, sockets[second]);
        pair.until_closed();
        pair.explain();
    }
}

#[test]
fn both_sides_at_once() {
    let mut pair = Pair::new(15);
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.explain();
}

#[test]
fn a_peer_that_never_closes_is_left_in_time() {
    let mut pair = Pair::of(16, |_, config| config.timers.close = Duration::from_secs(3));
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    pair.lan.until(Duration::from_secs(10), "the end", |lan| !lan.stack(CLIENT).has_connections());
    let mut octet = [0];
    assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv(&mut octet), Ok(0));
    assert_eq!(pair.error(SERVER, server), Some(ConnectionError::PeerAborted));
}

#[test]
fn a_socket_is_gone_once_closed() {
    let mut pair = Pair::new(17);
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    assert!(pair.lan.stack(CLIENT).socket(client).is_err());
    let mut octet = [0];
    assert_eq!(
        pair.lan.stack(SERVER).socket(server).unwrap().recv(&mut octet),
        Err(RecvError::WouldBlock),
        "nobody has told it yet"
    );
}

// ---- every order of ends ----

/// One side's deeds, in its order. After the last the application has no handle.
const ENDS: [&[CloseEvent]; 4] = [
    &[CloseEvent::Close],
    &[CloseEvent::Abort],
    &[CloseEvent::Shutdown, CloseEvent::Close],
    &[CloseEvent::Shutdown, CloseEvent::Abort],
];

/// Who does the next deed, and whether everybody hears of it before the one
/// after: all orders of so many deeds of either side.
fn orders(left: [usize; 2]) -> Vec<Vec<(usize, bool)>> {
    if left == [0, 0] {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for who in [CLIENT, SERVER] {
        let mut rest = left;
        let Some(fewer) = rest[who].checked_sub(1) else { continue };
        rest[who] = fewer;
        for order in orders(rest) {
            for heard in [false, true] {
                all.push([&[(who, heard)], &order[..]].concat());
            }
        }
    }
    all
}

/// Both ends of a connection as the table has them, beside those of two stacks.
struct Ended {
    ends: [Close; 2],
    /// What of each side's words the other has heard.
    told: [StateFlags; 2],
    error: [bool; 2],
    seen: BTreeSet<CloseState>,
}

impl Ended {
    fn step(&mut self, who: usize, event: CloseEvent) {
        self.ends[who].step(event);
        self.seen.insert(self.ends[who].state());
    }

    /// Everything that was said is heard.
    fn hear(&mut self) {
        let said = self.ends.map(|end| end.said());
        for (who, other) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            let news = said[other] - self.told[other];
            self.told[other] = said[other];
            for (flag, event) in [
                (StateFlags::SENDING_DONE, CloseEvent::HeardDone),
                (StateFlags::CLOSED, CloseEvent::HeardClosed),
                (StateFlags::ABNORMAL_CLOSE, CloseEvent::HeardAbort),
            ] {
                if news.contains(flag) {
                    self.step(who, event);
                }
            }
            self.error[who] |= news.contains(StateFlags::ABNORMAL_CLOSE) && !self.ends[who].is_closed_here();
        }
    }
}

/// Whatever the two applications do, in whatever order, and whether their words
/// cross or not: each learns what the table says, and both are rid of it.
#[test]
fn every_order_of_ends() {
    let mut pair = Pair::new(18);
    let (mut runs, mut seen) = (0, BTreeSet::new());
    for client in ENDS {
        for server in ENDS {
            for order in orders([client.len(), server.len()]) {
                seen.append(&mut end_in_order(&mut pair, [client, server], &order));
                runs += 1;
            }
            pair.explain();
            pair.lan.log = Some(Vec::new());
        }
    }
    assert_eq!(runs, 4 * 8 + 8 * 24 + 4 * 96, "of 2, 3 and 4 deeds");
    assert_eq!(seen.len(), 9, "{seen:?}");
}

fn end_in_order(pair: &mut Pair, deeds: [&[CloseEvent]; 2], order: &[(usize, bool)]) -> BTreeSet<CloseState> {
    let (client, server) = pair.connect();
    let sockets = [client, server];
    pair.lan.run_for(Duration::from_millis(1));
    let mut table = Ended {
        ends: [Close::default(); 2],
        told: [StateFlags::empty(); 2],
        error: [false; 2],
        seen: BTreeSet::from([CloseState::Active]),
    };
    let mut done = [0; 2];
    for &(who, heard) in order {
        let deed = deeds[who][done[who]];
        done[who] += 1;
        let mut socket = pair.lan.stack(who).socket(sockets[who]).unwrap();
        match deed {
            CloseEvent::Shutdown => socket.shutdown(),
            CloseEvent::Close => socket.close(),
            _ => socket.abort(),
        }
        table.step(who, deed);
        if heard {
            pair.lan.run_for(Duration::from_millis(1));
            table.hear();
        }
        for who in [CLIENT, SERVER] {
            if done[who] < deeds[who].len() {
                learned(pair, who, sockets[who], &table, (deeds, order));
            }
        }
    }
    pair.lan.run_for(Duration::from_millis(1));
    table.hear();
    table.hear();
    assert_eq!(table.ends.map(|end| end.state()), [CloseState::Closed; 2], "{deeds:?} {order:?}");
    for host in [CLIENT, SERVER] {
        assert_eq!(pair.lan.stack(host).held().tokens, 0, "{deeds:?} {order:?}");
    }
    pair.until_closed();
    table.seen
}

fn learned(
    pair: &mut Pair,
    who: usize,
    socket: SocketHandle,
    table: &Ended,
    what: ([&[CloseEvent]; 2], &[(usize, bool)]),
) {
    let error = table.error[who].then_some(ConnectionError::PeerAborted);
    assert_eq!(pair.error(who, socket), error, "{who}: {what:?}");
    let heard = table.ends[who].heard();
    let end = match (heard.completes_stream(), heard.ends_stream()) {
        (true, _) => Ok(0),
        (false, true) => Err(RecvError::Over(ConnectionError::PeerAborted)),
        (false, false) => Err(RecvError::WouldBlock),
    };
    let received = pair.lan.stack(who).socket(socket).unwrap().recv(&mut [0]);
    assert_eq!(received, end, "{who}: {what:?}");
}
