//! Local keys: a request can use no memory but its own domain's.

use smolsmc_wire::Lkey;

use super::bench::{Done, Pair, Region, Wanted, read, send, stays_empty, write};
use super::failure::{equal, one_of, refused};
use super::{Case, Rig, Side, list};
use crate::{
    Access, MemoryUse, Payload, PostError, Provider, QpState, RecvRequest, SendRequest, Sge, VerbsError,
    WcStatus,
};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "local: a send from memory that is not there" send_keys;
        Any "local: a receive into memory that is not there" recv_keys;
        Any "local: a READ into memory that is not there" [Read] read_keys;
        Any "local: too many elements, too long inline data" too_much;
    ]
}

/// Elements the queue pair may not use.
fn bad_elements<R: Rig>(rig: &mut R, pair: &Pair, good: &Region) -> Result<[Sge; 5], super::Failure> {
    let stranger = Pair::new(rig, &Wanted::default())?;
    let end = if good.side == Side::Near { (pair.near, stranger.near) } else { (pair.far, stranger.far) };
    let foreign = end.1.incoming(rig, 1000)?;
    let dead = end.0.incoming(rig, 1000)?;
    let dead_sge = dead.sge(0, 100);
    rig.nic(good.side).deregister(dead.mr)?;
    let right = good.sge(0, 100);
    Ok([
        Sge { lkey: Lkey(!right.lkey.0), ..right },
        Sge { addr: right.addr.wrapping_sub(1), ..right },
        good.sge(901, 100),
        foreign.sge(0, 100),
        dead_sge,
    ])
}

fn send_keys<R: Rig>(rig: &mut R) -> Done {
    for n in 0..5 {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = pair.near.outgoing(rig, 1000)?;
        let target = pair.far.incoming(rig, 1000)?;
        source.fill(rig, 5)?;
        let bad = bad_elements(rig, &pair, &source)?;
        let Some(bad) = bad.get(n) else { continue };
        pair.far.receive(rig, 1, target.sge(0, 1000))?;
        pair.near
            .post(rig, &[send(2, &[source.sge(0, 50), *bad]), write(3, &[source.sge(0, 9)], &target, 0)])?;
        pair.near.sent_ill(rig, 2, WcStatus::LocalProtection)?;
        pair.near.sent_ill(rig, 3, WcStatus::Flushed)?;
        pair.near.becomes(rig, QpState::Error)?;
        stays_empty(rig, Side::Far, pair.far.recv_cq)?;
        target.is_zero(rig, 50, 950)?;
    }
    Ok(())
}

/// The message arrives and nobody can take it: the responder's operation
/// fails, NAK 0x63 (IBTA §9.9.3).
fn recv_keys<R: Rig>(rig: &mut R) -> Done {
    for n in 0..6 {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = pair.near.outgoing(rig, 1000)?;
        let target = pair.far.incoming(rig, 1000)?;
        source.fill(rig, 5)?;
        let bad = bad_elements(rig, &pair, &target)?;
        let unwritable =
            Region::new(rig, Side::Far, pair.far.pd, 1000, MemoryUse::Incoming, Access::empty())?;
        let bad = bad.get(n).copied().unwrap_or_else(|| unwritable.sge(0, 100));
        pair.far.receive_into(rig, 1, &[bad])?;
        pair.near.post(rig, &[send(2, &[source.sge(0, 100)])])?;
        let got = pair.far.received(rig)?;
        equal("the receive fails", got.wr_id, 1)?;
        let allowed = [WcStatus::LocalProtection, WcStatus::LocalQpOperation];
        one_of("it says whose fault it is", got.status, &allowed)?;
        pair.near.sent_ill(rig, 2, WcStatus::RemoteOperation)?;
        pair.near.becomes(rig, QpState::Error)?;
        pair.far.becomes(rig, QpState::Error)?;
        unwritable.is_zero(rig, 0, 1000)?;
        target.is_zero(rig, 0, 1000)?;
    }
    Ok(())
}

fn read_keys<R: Rig>(rig: &mut R) -> Done {
    for n in 0..6 {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = pair.far.outgoing(rig, 1000)?;
        let target = pair.near.incoming(rig, 1000)?;
        source.fill(rig, 5)?;
        let bad = bad_elements(rig, &pair, &target)?;
        let ours = pair.near.outgoing(rig, 1000)?;
        let bad = bad.get(n).copied().unwrap_or_else(|| ours.sge(0, 100));
        pair.near.post(rig, &[read(2, &[bad], &source, 0)])?;
        pair.near.sent_ill(rig, 2, WcStatus::LocalProtection)?;
        pair.near.becomes(rig, QpState::Error)?;
        ours.is_zero(rig, 0, 1000)?;
        target.is_zero(rig, 0, 1000)?;
    }
    Ok(())
}

fn too_much<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 64)?;
    let target = pair.near.incoming(rig, 64)?;
    let granted = rig.nic(Side::Near).qp(pair.near.qp)?.capabilities;
    let out_of_range = |e: &PostError| matches!(e.error, VerbsError::OutOfRange(_)) && e.posted == 1;

    let many = alloc::vec![source.sge(0, 1); granted.max_send_sge as usize + 1];
    let few = [source.sge(0, 1)];
    let result = rig.nic(Side::Near).post_send(pair.near.qp, &[send(1, &few), send(2, &many)]);
    refused("too many elements to send", result, out_of_range)?;

    let many = alloc::vec![target.sge(0, 1); granted.max_recv_sge as usize + 1];
    let list = [RecvRequest { wr_id: 1, sges: &[] }, RecvRequest { wr_id: 2, sges: &many }];
    refused(
        "too many elements to receive",
        rig.nic(Side::Near).post_recv(pair.near.qp, &list),
        out_of_range,
    )?;

    let long = alloc::vec![0; granted.max_inline_data as usize + 1];
    let inline = SendRequest { payload: Payload::Inline(&long), ..send(2, &[]) };
    let result = rig.nic(Side::Near).post_send(pair.near.qp, &[send(3, &few), inline]);
    refused("too long inline data", result, out_of_range)
}
