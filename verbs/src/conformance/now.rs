//! RDMA WRITEs that are done before the call returns, if they are done at all.

use alloc::vec::Vec;

use smolsmc_wire::Rkey;

use super::bench::{Done, End, Pair, Region, Wanted, pattern, send, stays_empty, write};
use super::failure::{equal, holds};
use super::{Case, Rig, Side, list};
use crate::{Provider, QpState, WcOpcode};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "write now: there at once or not at all, before what is posted next" at_once;
        Any "write now: what may not be is refused without a word" refused;
        Any "write now: never ahead of what is posted" in_order;
        Any "write now: only in RTS" states;
    ]
}

fn octets(stream: u32, len: usize) -> Vec<u8> {
    (0..len).map(|n| pattern(stream, n)).collect()
}

fn now<R: Rig>(rig: &mut R, end: &End, target: &Region, offset: usize, octets: &[u8]) -> bool {
    rig.nic(end.side).write_now(end.qp, target.at(offset), target.keys.rkey, octets)
}

/// With a provider that does not do so, posting has to do the same.
fn at_once<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let target = pair.far.incoming(rig, 200_100)?;
    let word = pair.far.incoming(rig, 44)?;
    let source = pair.near.outgoing(rig, 200_000)?;
    for (round, len) in [1, 63, 64, 65, 1024, 65_536, 65_537, 200_000].into_iter().enumerate() {
        let stream = round as u32;
        target.zero(rig)?;
        source.fill(rig, stream)?;
        pair.far.receive(rig, 7, word.sge(0, 44))?;
        let is_done = now(rig, &pair.near, &target, 100, &octets(stream, len));
        if is_done {
            target.is_only_pattern(rig, 100, len, stream)?;
        } else {
            target.is_zero(rig, 0, target.keys.len)?;
            pair.near.post(rig, &[write(5, &[source.sge(0, len)], &target, 100)])?;
            pair.near.sent_well(rig, 5, WcOpcode::Write)?;
        }
        pair.near.post(rig, &[send(6, &[source.sge(0, 44.min(len))])])?;
        pair.far.received_well(rig, 7, 44.min(len))?;
        target.is_only_pattern(rig, 100, len, stream)?;
        // The SEND's completion is the first.
        pair.near.sent_well(rig, 6, WcOpcode::Send)?;
    }
    stays_empty(rig, Side::Near, pair.near.send_cq)
}

fn refused<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let target = pair.far.incoming(rig, 1000)?;
    let octets = octets(1, 100);
    let rkey = target.keys.rkey;
    for (address, rkey) in [
        (target.at(0), Rkey(rkey.0 ^ 0x5555)),
        (target.at(0), Rkey(0)),
        (target.at(901), rkey),
        (target.at(0).wrapping_sub(1), rkey),
        (u64::MAX - 50, rkey),
    ] {
        let is_done = rig.nic(Side::Near).write_now(pair.near.qp, address, rkey, &octets);
        holds("it is not done", !is_done)?;
    }
    rig.nic(Side::Far).deregister(target.mr)?;
    holds("nor is it without a registration", !now(rig, &pair.near, &target, 0, &octets))?;
    target.is_zero(rig, 0, 1000)?;
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    equal("both live on", (pair.near.state(rig)?, pair.far.state(rig)?), {
        (QpState::ReadyToSend, QpState::ReadyToSend)
    })?;
    pair.talks(rig)
}

fn in_order<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let target = pair.far.incoming(rig, 1000)?;
    let source = pair.near.outgoing(rig, 1000)?;
    source.fill(rig, 1)?;
    // The SEND waits for a receive, and the WRITE for the SEND.
    pair.near.post(rig, &[send(1, &[source.sge(0, 10)]), write(2, &[source.sge(0, 1000)], &target, 0)])?;
    holds("it is not done", !now(rig, &pair.near, &target, 0, &octets(2, 1000)))?;
    target.is_zero(rig, 0, 1000)?;
    let word = pair.far.incoming(rig, 10)?;
    pair.far.receive(rig, 3, word.sge(0, 10))?;
    pair.near.sent_well(rig, 1, WcOpcode::Send)?;
    pair.near.sent_well(rig, 2, WcOpcode::Write)?;
    target.is_only_pattern(rig, 0, 1000, 1)
}

fn states<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let near = End::new(rig, Side::Near, &wanted)?;
    let far = End::new(rig, Side::Far, &wanted)?;
    let target = far.incoming(rig, 100)?;
    far.bring(rig, QpState::ReadyToSend, &wanted, &near)?;
    for to in [QpState::Reset, QpState::Init, QpState::ReadyToReceive, QpState::Error] {
        near.fail(rig)?;
        let reset = near.transition(rig, QpState::Reset, &wanted, &far);
        rig.nic(Side::Near).modify_qp(near.qp, reset)?;
        near.bring(rig, to, &wanted, &far)?;
        holds("it is not done", !now(rig, &near, &target, 0, &octets(1, 100)))?;
    }
    rig.nic(Side::Near).destroy_qp(near.qp)?;
    holds("nor without a queue pair", !now(rig, &near, &target, 0, &octets(1, 100)))?;
    target.is_zero(rig, 0, 100)
}
