//! Peers that speak SMC-R, and mean harm: what each ends with is in SECURITY.md
//! and ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use smolsmc::{ConnectionError, ListenOptions, ListenerHandle, Provider, SocketHandle, SocketOptions};
use smolsmc_cdc::{CdcMessage, CdcViolation, Cursor, ProducerFlags, StateFlags};
use smolsmc_clc::{Agreement, Header, Message, SmcrTerms};
use smolsmc_llc::{MAX_REQUESTS_A_SECOND, TestLink};
use smolsmc_roce::packet::RocePacket;
use smolsmc_tests::sim::{Lan, address_of};
use smolsmc_verbs::{Payload, SendOperation, SendRequest};
use smolsmc_wire::{Duration, Instant, Mac, Qpn, Rkey, SeqNo};

use super::meddling::{CONFIRM, clc, clc_in};
use super::pair::{CLIENT, PORT, SERVER, recv_some, send_some};

/// A client of the same server as [`CLIENT`], that does what it likes.
const LIAR: usize = 2;

type Ends = ((usize, SocketHandle), (usize, SocketHandle));

struct Three {
    lan: Lan,
    listener: ListenerHandle,
}

impl Three {
    fn new(seed: u64) -> Self {
        let mut lan = Lan::of(seed, 3, |_, config| config.timers.close = Duration::from_secs(3));
        lan.log = Some(Vec::new());
        let local = SocketAddr::new(address_of(SERVER), PORT);
        let listener = lan.stack(SERVER).listen(local, ListenOptions::USUAL).unwrap();
        Self { lan, listener }
    }

    /// A connection of `host`, and its server's end.
    fn connect(&mut self, host: usize) -> Ends {
        let to = SocketAddr::new(address_of(SERVER), PORT);
        let client = self.lan.stack(host).connect(to, SocketOptions::default()).unwrap();
        let (listener, mut server) = (self.listener, None);
        self.lan.until(Duration::from_secs(5), "the connection", |lan| {
            server = server.or_else(|| lan.stack(SERVER).accept(listener));
            server.is_some() && lan.stack(host).socket(client).unwrap().transport().is_some()
        });
        ((host, client), (SERVER, server.unwrap()))
    }

    fn close(&mut self, ends: Ends) {
        for (host, socket) in [ends.0, ends.1] {
            self.lan.stack(host).socket(socket).unwrap().close();
        }
        self.lan.run_for(Duration::from_millis(100));
    }

    /// Octets both ways, and each of them looked at.
    fn transfer(&mut self, ends: Ends, len: u64) {
        for (stream, (from, to)) in [(1, ends), (2, (ends.1, ends.0))] {
            let (mut sent, mut received) = (0, 0);
            self.lan.until(Duration::from_secs(20), "the octets", |lan| {
                if sent < len {
                    sent += send_some(lan, from, stream, sent, len);
                }
                received += recv_some(lan, to, stream, received).unwrap_or(0);
                received == len
            });
        }
    }

    fn error(&mut self, end: (usize, SocketHandle)) -> Option<ConnectionError> {
        self.lan.stack(end.0).socket(end.1).unwrap().error()
    }

    /// What `from` said of its ring for the last connection with `to`.
    fn terms(&self, from: usize, to: usize) -> SmcrTerms {
        let log = self.lan.log.as_ref().unwrap();
        let is_between = |frame: &[u8]| frame[29] == from as u8 + 1 && frame[33] == to as u8 + 1;
        let messages = log.iter().rev().map(|(_, frame)| frame).filter_map(|frame| {
            let octets = clc_in(frame)?;
            let len = Header::parse(octets).ok()?.message_len();
            is_between(frame).then(|| Message::parse(&octets[..len]).unwrap())
        });
        let mut terms = messages.filter_map(|message| match message {
            Message::Accept(Agreement::V2(accept)) => Some(accept.terms),
            Message::Confirm(Agreement::V2(confirm)) => Some(confirm.terms),
            _ => None,
        });
        terms.next().unwrap()
    }

    /// The liar's queue pair does this, behind the back of its stack.
    fn post(&mut self, operation: SendOperation, octets: &[u8]) {
        let stack = self.lan.stack(LIAR);
        let qp = stack.groups()[0].links[0].qp;
        let payload = Payload::Inline(octets);
        let request = SendRequest { wr_id: 1 << 60, operation, payload, signalled: false, solicited: false };
        stack.provider_mut().post_send(qp, &[request]).unwrap();
    }

    fn write(&mut self, remote_addr: u64, rkey: Rkey) {
        self.post(SendOperation::Write { remote_addr, rkey }, &[0x66; 44]);
        self.lan.run_for(Duration::from_millis(50));
    }

    fn say(&mut self, message: &CdcMessage) {
        let mut octets = [0; CdcMessage::LEN];
        message.emit(&mut octets);
        self.post(SendOperation::Send, &octets);
        self.lan.run_for(Duration::from_millis(50));
    }

    fn naks_for_access(&mut self) -> u64 {
        self.lan.stack(SERVER).provider_mut().counters().naks_sent.access
    }
}

/// Sound in itself; what it is about is another matter.
fn cdc(terms: &SmcrTerms) -> CdcMessage {
    CdcMessage {
        seq: SeqNo(100),
        token: terms.alert_token,
        producer: Cursor::default(),
        consumer: Cursor::default(),
        producer_flags: ProducerFlags::empty(),
        state_flags: StateFlags::empty(),
    }
}

// ---- rings ----

/// The ring waits in its group with its key, for the same peer: what that writes
/// there reaches no other peer's connection, and of its own next one not an octet
/// that it does not say is there.
#[test]
fn a_write_after_close_changes_no_connection() {
    let mut three = Three::new(91);
    let honest = three.connect(CLIENT);
    let dead = three.connect(LIAR);
    let ring = three.terms(SERVER, LIAR);
    three.transfer(dead, 3000);
    three.close(dead);
    for offset in [0, 44, 1000, 65_536 - 44] {
        three.write(ring.rmb_address + offset, ring.rkey);
    }
    assert_eq!(three.naks_for_access(), 0, "the key is good within its group");
    three.transfer(honest, 200_000);
    // Also one that is made now, in a ring of the same size.
    let honest = three.connect(CLIENT);
    assert_ne!(three.terms(SERVER, CLIENT).rkey, ring.rkey);
    three.transfer(honest, 200_000);
    let next = three.connect(LIAR);
    assert_eq!(three.terms(SERVER, LIAR).rkey, ring.rkey, "the ring is used again");
    three.transfer(next, 200_000);
}

/// On-path, the liar knows the key of another peer's ring: it is of another
/// protection domain. Its own link dies of it.
#[test]
fn a_write_into_another_peers_ring_ends_the_writer_alone() {
    let mut three = Three::new(92);
    let (honest, liar) = (three.connect(CLIENT), three.connect(LIAR));
    let ring = three.terms(SERVER, CLIENT);
    three.transfer(honest, 3000);
    three.transfer(liar, 3000);
    three.write(ring.rmb_address, ring.rkey);
    assert_eq!(three.naks_for_access(), 1);
    let error = three.error(liar.1);
    assert!(
        matches!(error, Some(ConnectionError::LinkFailed(_) | ConnectionError::LinkDown(_))),
        "{error:?}"
    );
    three.close(liar);
    three.lan.run_for(Duration::from_secs(3));
    assert_eq!(three.lan.stack(SERVER).groups().len(), 1, "the liar's group has ended");
    assert_eq!(three.error(honest.1), None);
    three.transfer(honest, 200_000);
}

/// A connection that its peer never closed: its ring is not used again, and its
/// key is good for nothing.
#[test]
fn a_stale_rkey_ends_the_link_it_is_used_on_and_no_other() {
    let mut three = Three::new(93);
    let honest = three.connect(CLIENT);
    let first = three.connect(LIAR);
    let second = three.connect(LIAR);
    let ring = three.terms(SERVER, LIAR);
    three.transfer(second, 1000);
    three.lan.stack(SERVER).socket(second.1.1).unwrap().close();
    // The liar's application never closes; A after 3 s, and the end after 2 more.
    three.lan.run_for(Duration::from_secs(6));
    assert_eq!(three.error(first.1), None);
    three.transfer(first, 1000);
    three.write(ring.rmb_address, ring.rkey);
    assert_eq!(three.naks_for_access(), 1);
    assert!(three.error(first.1).is_some(), "its link is gone");
    three.transfer(honest, 200_000);
    let honest = three.connect(CLIENT);
    three.transfer(honest, 200_000);
}

// ---- CDC ----

#[test]
fn cursors_that_cannot_be_end_their_connection_and_no_other() {
    let beyond = Cursor { wrap: 0, count: 0x7fff_ffff };
    type Lie = (&'static str, fn(&mut CdcMessage), CdcViolation);
    let lies: [Lie; 5] = [
        (
            "producer outside",
            |m| m.producer = Cursor { wrap: 0, count: 65_536 },
            CdcViolation::OutsideRing(Cursor { wrap: 0, count: 65_536 }),
        ),
        (
            "producer far outside",
            |m| m.producer = Cursor { wrap: 0, count: 0x7fff_ffff },
            CdcViolation::OutsideRing(beyond),
        ),
        (
            "consumer outside",
            |m| m.consumer = Cursor { wrap: 0, count: 0x7fff_ffff },
            CdcViolation::OutsideRing(beyond),
        ),
        ("over the reader", |m| m.producer = Cursor { wrap: 1, count: 1 }, CdcViolation::Overrun),
        ("before the writer", |m| m.consumer = Cursor { wrap: 0, count: 1 }, CdcViolation::ReadTooFar),
    ];
    for (what, lie, violation) in lies {
        let mut three = Three::new(94);
        let honest = three.connect(CLIENT);
        let first = three.connect(LIAR);
        let second = three.connect(LIAR);
        let ring = three.terms(SERVER, LIAR);
        let mut message = cdc(&ring);
        lie(&mut message);
        three.say(&message);
        assert_eq!(three.error(second.1), Some(violation.into()), "{what}");
        assert_eq!(three.error(second.0), Some(ConnectionError::PeerAborted), "{what}: the liar is told");
        // What else goes over the same link goes on.
        three.transfer(first, 50_000);
        three.transfer(honest, 50_000);
        three.close(second);
        // The ring of one who lies is not used again, nor its key.
        let third = three.connect(LIAR);
        assert_ne!(three.terms(SERVER, LIAR).rkey, ring.rkey, "{what}");
        three.transfer(third, 50_000);
    }
}

/// Closes another peer's connection, and one of nobody's.
#[test]
fn a_message_for_another_groups_connection_is_ignored() {
    let mut three = Three::new(95);
    let (honest, liar) = (three.connect(CLIENT), three.connect(LIAR));
    let mut message = cdc(&three.terms(SERVER, CLIENT));
    message.state_flags = StateFlags::ABNORMAL_CLOSE;
    for token in [message.token.0, message.token.0 ^ 1, 0, u32::MAX] {
        message.token.0 = token;
        three.say(&message);
    }
    assert_eq!((three.error(honest.1), three.error(liar.1)), (None, None));
    three.transfer(honest, 50_000);
    three.transfer(liar, 50_000);
}

// ---- LLC ----

/// So many requests a second are answered on a link, and no more; what else goes
/// over it goes on.
#[test]
fn a_flood_of_llc_requests_is_answered_at_its_limit() {
    let mut three = Three::new(96);
    let (honest, liar) = (three.connect(CLIENT), three.connect(LIAR));
    let test_link = smolsmc_llc::Message {
        version: smolsmc_llc::Version::V2(smolsmc_llc::HostOrder::Little),
        response: false,
        body: smolsmc_llc::Body::TestLink(TestLink::default()),
    };
    let mut octets = [0; 64];
    let len = test_link.emit(&mut octets).unwrap();
    let before = three.lan.now();
    // 3200 a second, for two.
    for _ in 0..200 {
        for _ in 0..32 {
            three.post(SendOperation::Send, &octets[..len]);
        }
        three.lan.run_for(Duration::from_millis(10));
        let held = three.lan.stack(SERVER).held();
        assert!(held.queued < 10, "{held:?}");
    }
    let answers = answers_a_second(&three, before);
    // The server's seconds are not ours: none of ours sees more than two of them,
    // and all together not more than three.
    let most = MAX_REQUESTS_A_SECOND as usize;
    let all: usize = answers.values().sum();
    assert!((2 * most - 100..=3 * most).contains(&all), "{answers:?}");
    assert!(all < 200 * 32 - 1000, "{answers:?}");
    assert_eq!((three.error(honest.1), three.error(liar.1)), (None, None));
    three.transfer(honest, 50_000);
    three.transfer(liar, 50_000);
}

/// Answers to TEST LINK that nobody asked, while ours finds no place among the
/// messages: each one had another TEST LINK queued behind the first, without a
/// limit.
#[test]
fn answers_to_a_test_link_that_waits_queue_no_further_one() {
    let mut lan = Lan::of(103, 3, |_, config| {
        config.autocork = 0;
        config.limits.peer_receives = 16;
    });
    lan.log = Some(Vec::new());
    let local = SocketAddr::new(address_of(SERVER), PORT);
    let listener = lan.stack(SERVER).listen(local, ListenOptions::USUAL).unwrap();
    let mut three = Three { lan, listener };
    let liar = three.connect(LIAR);
    three.transfer(liar, 1);
    let test_link = |response| {
        let message = smolsmc_llc::Message {
            version: smolsmc_llc::Version::V2(smolsmc_llc::HostOrder::Little),
            response,
            body: smolsmc_llc::Body::TestLink(TestLink::default()),
        };
        let mut octets = [0; 64];
        let len = message.emit(&mut octets).unwrap();
        octets[..len].to_vec()
    };
    // The liar's NIC acknowledges nothing: the server's places are taken for good.
    three.lan.meddler = Some(Box::new(|host, frame| {
        let packet = RocePacket::parse(frame).ok().flatten();
        let is_ack = packet.is_some_and(|packet| packet.payload.is_empty());
        if host == LIAR && is_ack {
            frame[12] = 0;
        }
    }));
    for _ in 0..40 {
        three.post(SendOperation::Send, &test_link(false));
        three.lan.run_for(Duration::from_micros(100));
    }
    for n in 0..40 {
        send_some(&mut three.lan, liar.1, 7, n, n + 1);
        three.lan.run_for(Duration::from_micros(100));
    }
    for _ in 0..300 {
        three.post(SendOperation::Send, &test_link(true));
        three.lan.run_for(Duration::from_micros(100));
    }
    let held = three.lan.stack(SERVER).held();
    assert_eq!(three.error(liar.1), None, "the link must still stand");
    assert!(held.queued < 100, "{held:?}");
}

/// TEST LINK responses of the server to the liar, by the second they were sent in.
fn answers_a_second(three: &Three, since: Instant) -> BTreeMap<u64, usize> {
    let mut answers = BTreeMap::new();
    for (at, frame) in three.lan.log.as_ref().unwrap() {
        let Ok(Some(packet)) = RocePacket::parse(frame) else { continue };
        let is_answer = packet.payload.first() == Some(&0x27) && packet.payload[3] & 0x80 != 0;
        if *at >= since && frame[33] == LIAR as u8 + 1 && is_answer {
            *answers.entry(at.since(since).micros() / 1_000_000).or_default() += 1;
        }
    }
    answers
}

// ---- handshakes in a group that stands ----

/// A peer that never confirms a later contact: after the time of a CLC message
/// the server's half of it is gone, with a ring that nobody gets; the group
/// stays.
#[test]
fn a_later_contact_that_is_never_confirmed_leaves_the_group_as_it_is() {
    let mut three = Three::new(97);
    let first = three.connect(LIAR);
    // The Confirm lacks its last octets.
    three.lan.meddler = Some(clc(CONFIRM, |message| message[6] += 8));
    let to = SocketAddr::new(address_of(SERVER), PORT);
    three.lan.stack(LIAR).connect(to, SocketOptions::default()).unwrap();
    three.lan.run_for(Duration::from_millis(100));
    assert_eq!(three.lan.stack(SERVER).held().tokens, 2, "waits for the Confirm");
    three.lan.meddler = None;
    three.lan.run_for(Duration::from_secs(7));
    let held = three.lan.stack(SERVER).held();
    assert_eq!((held.handshakes, held.backlog, held.tokens, held.groups), (0, 0, 1, 1));
    three.transfer(first, 50_000);
    let third = three.connect(LIAR);
    three.transfer(third, 50_000);
}

// ---- frames of somebody else ----

/// Somebody who is no peer, but has seen the wire, sends frames in the name of
/// one: from another address, to another queue pair, with another number, from
/// another MAC. Each is counted where it falls, and the connection goes on.
#[test]
fn spoofed_frames_change_no_octet() {
    let mut three = Three::new(98);
    let honest = three.connect(CLIENT);
    three.transfer(honest, 20_000);
    let frames = requests_of_the_client(&three);
    let last = RocePacket::parse(frames.last().unwrap()).unwrap().unwrap();
    let (seen, payload) = (last.headers(), last.payload.to_vec());
    let dropped = |three: &mut Three| three.lan.stack(SERVER).provider_mut().counters().dropped;
    let forge = |change: &dyn Fn(&mut smolsmc_roce::packet::FrameHeaders)| {
        let mut headers = seen;
        change(&mut headers);
        let mut frame = vec![0; headers.frame_len(payload.len())];
        headers.emit_with(&payload, &mut frame).unwrap();
        frame
    };
    let next = seen.bth.psn.add(1);

    let other_host = forge(&|headers| {
        headers.bth.psn = next;
        if let smolsmc_roce::packet::IpPath::V4 { src, .. } = &mut headers.ip {
            *src = [10, 9, 0, 9].into();
        }
    });
    let other_qp = forge(&|headers| {
        (headers.bth.psn, headers.bth.dest_qpn) = (next, Qpn::new(headers.bth.dest_qpn.value() ^ 1));
    });
    let before = dropped(&mut three);
    three.lan.inject(SERVER, 0, other_host);
    three.lan.inject(SERVER, 0, other_qp);
    three.lan.run_for(Duration::from_millis(10));
    let after = dropped(&mut three);
    assert_eq!(after.wrong_address, before.wrong_address + 1);
    assert_eq!(after.no_such_qp, before.no_such_qp + 1);

    let before = after;
    // Ahead of what was sent: a gap, which the NAK tells the real peer, who has
    // nothing to send again. Behind it: old, and acknowledged again.
    for distance in [2, 1000, (1 << 23) - 1] {
        three.lan.inject(SERVER, 0, forge(&|headers| headers.bth.psn = seen.bth.psn.add(distance)));
    }
    for distance in [0, 1, 1000, (1 << 23) - 1] {
        three.lan.inject(SERVER, 0, forge(&|headers| headers.bth.psn = seen.bth.psn.sub(distance)));
    }
    // The MAC is no part of a queue pair's address: an old frame is old.
    three.lan.inject(SERVER, 0, forge(&|headers| headers.src = Mac([2, 0, 0, 0, 0, 99])));
    three.lan.run_for(Duration::from_millis(10));
    assert_eq!(dropped(&mut three).ahead, before.ahead + 3);
    for frame in frames {
        three.lan.inject(SERVER, 0, frame);
    }
    three.lan.run_for(Duration::from_millis(10));
    assert_eq!((three.error(honest.0), three.error(honest.1)), (None, None));
    three.transfer(honest, 200_000);
}

fn requests_of_the_client(three: &Three) -> Vec<Vec<u8>> {
    let log = three.lan.log.as_ref().unwrap().iter().map(|(_, frame)| frame);
    let is_request = |frame: &&Vec<u8>| {
        let Ok(Some(packet)) = RocePacket::parse(frame) else { return false };
        frame[29] == CLIENT as u8 + 1 && !packet.payload.is_empty()
    };
    log.filter(is_request).cloned().collect()
}
