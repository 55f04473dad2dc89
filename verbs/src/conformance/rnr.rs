//! Receiver not ready (IBTA §9.7.5.2.8).

use smolsmc_wire::{Duration, MtuCode};

use super::bench::{Done, Pair, Wanted, pause, send, stays_empty, unsignalled, until, write};
use super::failure::equal;
use super::{Case, Rig, Side, list};
use crate::{QpState, WcOpcode, WcStatus};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "rnr: a receive that comes late is found" [ReceiverNotReady] late;
        Any "rnr: what follows waits in order" [ReceiverNotReady] follows;
        Any "rnr: receives that come one by one" [ReceiverNotReady] one_by_one;
        Clean "rnr: retries that are counted run out" [ReceiverNotReady] exhausted;
        Clean "rnr: no retry at all" [ReceiverNotReady] no_retry;
        Any "rnr: with immediate, the data waits too" [ReceiverNotReady, WriteWithImmediate] immediate;
    ]
}

fn late<R: Rig>(rig: &mut R) -> Done {
    for len in [44, 1000] {
        let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
        let source = pair.near.outgoing(rig, len)?;
        let target = pair.far.incoming(rig, len)?;
        source.fill(rig, 5)?;
        pair.near.post(rig, &[send(1, &[source.sge(0, len)])])?;
        stays_empty(rig, Side::Near, pair.near.send_cq)?;
        equal("it waits", pair.near.state(rig)?, QpState::ReadyToSend)?;
        pair.far.receive(rig, 2, target.sge(0, len))?;
        pair.far.received_well(rig, 2, len)?;
        pair.near.sent_well(rig, 1, WcOpcode::Send)?;
        target.is_pattern(rig, 0, len, 5, 0)?;
    }
    Ok(())
}

fn follows<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    let word = pair.far.incoming(rig, 44)?;
    source.fill(rig, 5)?;
    let (data, short) = ([source.sge(0, 1000)], [source.sge(0, 44)]);
    pair.near.post(rig, &[send(1, &short), unsignalled(write(2, &data, &target, 0)), send(3, &short)])?;
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    target.is_zero(rig, 0, 1000)?;
    pair.far.receive(rig, 1, word.sge(0, 44))?;
    pair.far.received_well(rig, 1, 44)?;
    pair.near.sent_well(rig, 1, WcOpcode::Send)?;
    // Nothing tells of the WRITE but its last octet.
    until(rig, "the WRITE arrives", |rig| Ok(target.octets(rig, 999, 1)? != [0]))?;
    target.is_pattern(rig, 0, 1000, 5, 0)?;
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    pair.far.receive(rig, 3, word.sge(0, 44))?;
    pair.far.received_well(rig, 3, 44)?;
    pair.near.sent_well(rig, 3, WcOpcode::Send)
}

fn one_by_one<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 2000)?;
    let target = pair.far.incoming(rig, 2000)?;
    source.fill(rig, 5)?;
    for n in 0..20 {
        pair.near.post(rig, &[send(n, &[source.sge(n as usize * 100, 100)])])?;
    }
    for n in 0..20 {
        pause(rig, Duration::from_micros(n * 130));
        pair.far.receive(rig, n, target.sge(n as usize * 100, 100))?;
        pair.far.received_well(rig, n, 100)?;
        pair.near.sent_well(rig, n, WcOpcode::Send)?;
    }
    target.is_pattern(rig, 0, 2000, 5, 0)
}

fn exhausted<R: Rig>(rig: &mut R) -> Done {
    for rnr_retry in [1, 3, 6] {
        let pair = Pair::new(rig, &Wanted { rnr_retry, ..Wanted::default() })?;
        let source = pair.near.outgoing(rig, 44)?;
        let sges = [source.sge(0, 44)];
        pair.near.post(rig, &[send(1, &sges), unsignalled(send(2, &sges))])?;
        pair.near.sent_ill(rig, 1, WcStatus::RnrRetryExceeded)?;
        pair.near.sent_ill(rig, 2, WcStatus::Flushed)?;
        pair.near.becomes(rig, QpState::Error)?;
        equal("the peer lives on", pair.far.state(rig)?, QpState::ReadyToSend)?;
    }
    Ok(())
}

fn no_retry<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { rnr_retry: 0, ..Wanted::default() })?;
    pair.talks(rig)?;
    let source = pair.near.outgoing(rig, 44)?;
    pair.near.post(rig, &[send(1, &[source.sge(0, 44)])])?;
    pair.near.sent_ill(rig, 1, WcStatus::RnrRetryExceeded)
}

fn immediate<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    source.fill(rig, 5)?;
    let sges = [source.sge(0, 1000)];
    let operation = crate::SendOperation::WriteWithImmediate {
        remote_addr: target.at(0),
        rkey: target.keys.rkey,
        immediate: [9, 8, 7, 6],
    };
    pair.near.post(rig, &[super::bench::request(1, operation, &sges)])?;
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    pair.far.receive_into(rig, 2, &[])?;
    let got = pair.far.received(rig)?;
    equal("it came", (got.wr_id, got.status), (2, WcStatus::Success))?;
    equal("with its immediate", got.immediate, Some([9, 8, 7, 6]))?;
    pair.near.sent_well(rig, 1, WcOpcode::Write)?;
    target.is_pattern(rig, 0, 1000, 5, 0)
}
