//! What CDC messages and RDMA WRITEs do to a connection's rings, and the rules
//! they can break.
//!
//! A bystander knows at least as much of a writer's window as the writer when
//! frames were captured at one of the two hosts, so writing beyond it shows;
//! unless frames are missing, or a failover makes the sender start again from
//! an older point. In both cases the rules that depend on it are not applied.

use smolsmc_cdc::{CdcMessage, Cursor, StateFlags};
use smolsmc_roce::packet::Reth;
use smolsmc_wire::SeqNo;

use crate::connection::{Connection, Connections};
use crate::group::{Groups, Side};
use crate::rdma::Place;
use crate::report::FrameReport;
use crate::requests::Sight;

/// What one side of a connection has said in its CDC messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// The newest sequence number.
    pub(crate) seq: Option<SeqNo>,
    /// How far it has written.
    pub(crate) producer: Cursor,
    /// How far it has read.
    pub(crate) consumer: Cursor,
    /// State flags, added up.
    pub(crate) state: StateFlags,
    /// CDC messages seen for the first time.
    pub(crate) messages: u64,
    /// RDMA WRITEs seen for the first time, by their first packets.
    pub(crate) writes: u64,
    /// CDC and WRITE packets that had been seen before.
    pub(crate) repeated: u64,
    /// Octets announced by the producer cursor.
    pub(crate) octets: u64,
    /// A message is missing in the capture: what was said in it is not known.
    pub(crate) incomplete: bool,
    /// It moved to another link, so cursors may go back and WRITEs repeat.
    pub(crate) failed_over: bool,
}

/// Learns from a CDC message that came on the link at `place`.
pub(crate) fn apply(
    report: &mut FrameReport,
    message: &CdcMessage,
    sight: Sight,
    (group, link, receiver): Place,
    groups: &mut Groups,
    connections: &mut Connections,
) {
    if let Some(link) = groups.link_mut(group, link) {
        link.counts.cdc += 1;
    }
    let index = groups.groups.get(group).and_then(|g| g.tokens.of(receiver).get(&message.token));
    let Some(connection) = index.and_then(|&index| connections.get_mut(index)) else {
        report.facts.push("the token's connection is not in this capture".to_owned());
        return;
    };
    report.context.connection = Some(connection.id);
    let sender = receiver.other();
    if !sight.is_first() {
        connection.said.of_mut(sender).repeated += 1;
        return;
    }
    if message.is_failover_validation() {
        connection.said.of_mut(sender).failed_over = true;
        return;
    }
    if note_sequence(report, connection.said.of_mut(sender), message) {
        let certain = groups.is_complete(group) && connection.is_certain();
        note_cursors(report, connection, sender, message, certain);
    }
}

/// Whether the message is news: not older than the newest (RFC 7609 Appendix A.4).
fn note_sequence(report: &mut FrameReport, said: &mut Said, message: &CdcMessage) -> bool {
    said.messages += 1;
    let expected = said.seq.map_or(SeqNo(1), |seq| seq.add(1));
    match message.seq.distance_from(expected) {
        0 => {}
        skipped if skipped > 0 => {
            said.incomplete = true;
            report.facts.push(format!("{skipped} CDC message(s) before this one not seen"));
        }
        _ => {
            report.facts.push("older than one seen before".to_owned());
            return false;
        }
    }
    said.seq = Some(message.seq);
    true
}

fn note_cursors(
    report: &mut FrameReport,
    connection: &mut Connection,
    sender: Side,
    message: &CdcMessage,
    certain: bool,
) {
    let receiver = sender.other();
    let (Some(peer_ring), Some(own_ring)) = (connection.ring_len(receiver), connection.ring_len(sender))
    else {
        return;
    };
    for (cursor, ring, name) in
        [(message.producer, peer_ring, "producer"), (message.consumer, own_ring, "consumer")]
    {
        if !cursor.is_valid(ring) {
            let count = cursor.count;
            report.violations.push(format!("{name} count {count} is not below its ring's size {ring}"));
            return;
        }
    }
    let (own, peer) = (connection.said.of(sender).clone(), connection.said.of(receiver).clone());
    let aborting = message.state_flags.contains(StateFlags::ABNORMAL_CLOSE);
    if certain && !aborting {
        if Cursor::distance(peer.consumer, message.producer, peer_ring).is_none() {
            report.violations.push("producer cursor is beyond the space the peer has announced".to_owned());
        }
        if Cursor::distance(message.consumer, peer.producer, own_ring).is_none() {
            report.violations.push("consumer cursor is beyond what the peer has written".to_owned());
        }
        if !message.state_flags.contains(own.state) {
            report.violations.push("a connection state flag that was set is clear again".to_owned());
        }
    }
    let said = connection.said.of_mut(sender);
    let ahead = Cursor::distance(said.producer, message.producer, peer_ring);
    said.octets += u64::from(ahead.unwrap_or(0));
    // After a failover a sender starts again from an older point; what it
    // announced before that stays announced.
    let rewound = ahead.is_none() && Cursor::distance(message.producer, said.producer, peer_ring).is_some();
    if !rewound {
        said.producer = message.producer;
    }
    said.consumer = message.consumer;
    said.state |= message.state_flags;
}

/// Where the octets of a WRITE packet go.
pub(crate) struct WriteTarget {
    /// Key and address of this packet's first octet, and what is left of the
    /// WRITE from there.
    pub(crate) reth: Reth,
    /// Octets in this packet.
    pub(crate) packet_len: u32,
    /// Whether it is the first packet of the WRITE.
    pub(crate) starts: bool,
}

/// Finds the ring that a WRITE packet goes to and checks that it may.
pub(crate) fn apply_write(
    report: &mut FrameReport,
    target: &WriteTarget,
    sight: Sight,
    (group, link, owner): Place,
    groups: &Groups,
    connections: &mut Connections,
) {
    let Some(known) = groups.groups.get(group) else { return };
    let rmb = known.rmb_by_key(owner, link, target.reth.rkey).and_then(|index| known.rmbs.get(index));
    let Some((rmb, (_, start))) = rmb.and_then(|rmb| Some((rmb, *rmb.keys.get(&link)?))) else {
        report.facts.push("the rkey was not announced in this capture".to_owned());
        return;
    };
    let Some(offset) = target.reth.vaddr.checked_sub(start) else {
        report.violations.push("WRITE before the start of its RMB".to_owned());
        return;
    };
    report.context.rmb = Some(format!("{} rmb {} +{offset}", owner.name(), target.reth.rkey));
    let Some(connection) = rmb.connection.and_then(|index| connections.get_mut(index)) else { return };
    report.context.connection = Some(connection.id);
    let Some(ring) = connection.ring_len(owner) else { return };
    let element = connection.element_offset(owner).unwrap_or(0);
    let said = connection.said.of_mut(owner.other());
    if !sight.is_first() {
        said.repeated += 1;
        return;
    }
    said.writes += u64::from(target.starts);
    let place = offset.checked_sub(element).filter(|place| {
        place.saturating_add(u64::from(target.packet_len.max(target.reth.dma_len))) <= u64::from(ring)
    });
    match place.and_then(|place| u32::try_from(place).ok()) {
        None => report.violations.push("WRITE outside the RMBE of its connection".to_owned()),
        // A packet that fills a gap comes after the CDC that announced it.
        Some(place) if sight == Sight::Next && groups.is_complete(group) && connection.is_certain() => {
            check_window(report, connection, owner, place, target.packet_len, ring);
        }
        Some(_) => {}
    }
}

/// A WRITE may touch only what lies between the writer's producer cursor and
/// the reader's consumer cursor, one ring further on (RFC 7609 §4.5.1).
fn check_window(
    report: &mut FrameReport,
    connection: &Connection,
    owner: Side,
    place: u32,
    len: u32,
    ring: u32,
) {
    let producer = connection.said.of(owner.other()).producer;
    let consumer = connection.said.of(owner).consumer;
    let Some(unread) = Cursor::distance(consumer, producer, ring) else { return };
    let space = ring - unread;
    let ahead = if place >= producer.count { place - producer.count } else { ring - producer.count + place };
    if u64::from(ahead) + u64::from(len) > u64::from(space) {
        report.violations.push("WRITE over octets that were not read yet".to_owned());
    }
}
