//! What a peer may not touch: NAK 0x62, both queue pairs dead, memory as it
//! was (IBTA §9.7.4.1.5).

use alloc::vec::Vec;

use smolsmc_wire::Rkey;

use super::bench::{Done, OPEN, Pair, Region, Wanted, read, request, send, settle, unheard, write};
use super::failure::{equal, one_of};
use super::{Case, Rig, Side, list};
use crate::{Access, MemoryUse, Provider, QpState, SendOperation, SendRequest, WcStatus};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "access: a wrong rkey" wrong_rkey;
        Any "access: beyond either end of the memory" out_of_bounds;
        Any "access: a long WRITE that starts inside and ends outside" ends_outside;
        Any "access: memory without the right" missing_right;
        Any "access: a queue pair without the right" qp_without_right;
        Any "access: an rkey after its deregistration" deregistered;
        Any "access: deregistered under a WRITE in progress" deregistered_under_way;
        Any "access: an rkey of another protection domain" other_pd;
        Any "access: an rkey of another device" [SecondDevice] other_device;
        Any "access: READ has its own right" [Read] reading;
        Any "access: the requests behind are flushed" behind;
    ]
}

const LEN: usize = 3000;

/// Posts a bad WRITE; both sides die of it, and nothing is touched.
#[track_caller]
fn dies<R: Rig>(rig: &mut R, pair: &Pair, target: &Region, bad: SendRequest<'_>) -> Done {
    fails_with(rig, pair, bad, &[WcStatus::RemoteAccess])?;
    target.is_zero(rig, 0, target.keys.len)
}

#[track_caller]
fn fails_with<R: Rig>(rig: &mut R, pair: &Pair, bad: SendRequest<'_>, allowed: &[WcStatus]) -> Done {
    pair.near.post(rig, &[bad])?;
    let got = pair.near.sent(rig)?;
    equal("the bad request completes", got.wr_id, bad.wr_id)?;
    let unheard = allowed.iter().map(|status| unheard(rig, *status));
    let allowed: Vec<_> = allowed.iter().copied().chain(unheard).collect();
    one_of("it fails so", got.status, &allowed)?;
    pair.near.becomes(rig, QpState::Error)?;
    pair.far.becomes(rig, QpState::Error)
}

fn wrong_rkey<R: Rig>(rig: &mut R) -> Done {
    for flip in [1_u32, 0x100, 0x8000_0000, 0xffff_ffff] {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = pair.near.outgoing(rig, LEN)?;
        let target = pair.far.incoming(rig, LEN)?;
        source.fill(rig, 5)?;
        let rkey = Rkey(target.keys.rkey.0 ^ flip);
        let sges = [source.sge(0, 100)];
        let bad = request(9, SendOperation::Write { remote_addr: target.at(0), rkey }, &sges);
        dies(rig, &pair, &target, bad)?;
    }
    Ok(())
}

fn out_of_bounds<R: Rig>(rig: &mut R) -> Done {
    let len = LEN as u64;
    for (from_start, octets) in
        [(len - 99, 100), (len, 1), (u64::MAX, 1), (u64::MAX - 98, 100), (len * 1000, 1)]
    {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = pair.near.outgoing(rig, LEN)?;
        let target = pair.far.incoming(rig, LEN)?;
        source.fill(rig, 5)?;
        let remote_addr = target.keys.iova.wrapping_add(from_start);
        let sges = [source.sge(0, octets)];
        let bad = request(9, SendOperation::Write { remote_addr, rkey: target.keys.rkey }, &sges);
        dies(rig, &pair, &target, bad)?;
    }
    // An address whose end is past the last there is.
    let pair = Pair::new(rig, &Wanted::default())?;
    let (source, target) = (pair.near.outgoing(rig, LEN)?, pair.far.incoming(rig, LEN)?);
    let sges = [source.sge(0, 100)];
    let bad = SendOperation::Write { remote_addr: u64::MAX - 10, rkey: target.keys.rkey };
    dies(rig, &pair, &target, request(9, bad, &sges))
}

fn ends_outside<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 10_000)?;
    let target = pair.far.incoming(rig, 9_000)?;
    source.fill(rig, 5)?;
    let sges = [source.sge(0, 9_001)];
    dies(rig, &pair, &target, write(9, &sges, &target, 0))
}

fn missing_right<R: Rig>(rig: &mut R) -> Done {
    for rights in [Access::empty(), Access::LOCAL_WRITE, Access::LOCAL_WRITE | Access::REMOTE_READ] {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = pair.near.outgoing(rig, LEN)?;
        let target = Region::new(rig, Side::Far, pair.far.pd, LEN, MemoryUse::Incoming, rights)?;
        source.fill(rig, 5)?;
        let sges = [source.sge(0, 100)];
        dies(rig, &pair, &target, write(9, &sges, &target, 0))?;
    }
    // Memory only its owner writes.
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, LEN)?;
    let target = pair.far.outgoing(rig, LEN)?;
    source.fill(rig, 5)?;
    let sges = [source.sge(0, 100)];
    dies(rig, &pair, &target, write(9, &sges, &target, 0))
}

/// IBTA §9.7.4.1.3 calls it an invalid request; hardware also says access
/// error.
fn qp_without_right<R: Rig>(rig: &mut R) -> Done {
    for access in [Access::empty(), Access::LOCAL_WRITE, Access::REMOTE_READ] {
        let pair = Pair::new(rig, &Wanted { access, ..Wanted::default() })?;
        let source = pair.near.outgoing(rig, LEN)?;
        let target = pair.far.incoming(rig, LEN)?;
        source.fill(rig, 5)?;
        // SENDs need no right.
        let word = pair.far.incoming(rig, 44)?;
        pair.far.receive(rig, 1, word.sge(0, 44))?;
        pair.near.post(rig, &[send(1, &[source.sge(0, 44)])])?;
        pair.near.sent_well(rig, 1, crate::WcOpcode::Send)?;
        let allowed = [WcStatus::RemoteInvalidRequest, WcStatus::RemoteAccess];
        let sges = [source.sge(0, 100)];
        fails_with(rig, &pair, write(9, &sges, &target, 0), &allowed)?;
        target.is_zero(rig, 0, LEN)?;
    }
    Ok(())
}

fn deregistered<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, LEN)?;
    let target = pair.far.incoming(rig, LEN)?;
    source.fill(rig, 5)?;
    let sges = [source.sge(0, 100)];
    pair.near.post(rig, &[write(1, &sges, &target, 0)])?;
    pair.near.sent_well(rig, 1, crate::WcOpcode::Write)?;
    let nic = rig.nic(Side::Far);
    nic.deregister(target.mr)?;
    nic.zero(target.memory, 0, LEN)?;
    // The same memory under a new key: the old one opens nothing.
    nic.register(pair.far.pd, target.memory, OPEN)?;
    dies(rig, &pair, &target, write(9, &sges, &target, 0))
}

fn deregistered_under_way<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 1 << 20)?;
    let target = pair.far.incoming(rig, 1 << 20)?;
    source.fill(rig, 5)?;
    pair.near.post(rig, &[write(1, &[source.sge(0, 1 << 20)], &target, 0)])?;
    for _ in 0..8 {
        rig.step();
    }
    let nic = rig.nic(Side::Far);
    nic.deregister(target.mr)?;
    nic.zero(target.memory, 0, 1 << 20)?;
    settle(rig);
    let got = pair.near.sent(rig)?;
    // A fast peer may have been done before.
    let refused = WcStatus::RemoteAccess;
    let allowed = [refused, unheard(rig, refused), WcStatus::Success];
    one_of("the WRITE ends", got.status, &allowed)?;
    target.is_zero(rig, 0, 1 << 20)
}

fn other_pd<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let stranger = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, LEN)?;
    let target = stranger.far.incoming(rig, LEN)?;
    source.fill(rig, 5)?;
    let sges = [source.sge(0, 100)];
    dies(rig, &pair, &target, write(9, &sges, &target, 0))?;
    stranger.talks(rig)
}

fn other_device<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let second = Pair::new(rig, &Wanted { index: 1, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, LEN)?;
    let target = second.far.incoming(rig, LEN)?;
    source.fill(rig, 5)?;
    let sges = [source.sge(0, 100)];
    dies(rig, &pair, &target, write(9, &sges, &target, 0))
}

fn reading<R: Rig>(rig: &mut R) -> Done {
    // Without the right on the memory.
    for rights in [Access::empty(), Access::LOCAL_WRITE | Access::REMOTE_WRITE] {
        let pair = Pair::new(rig, &Wanted::default())?;
        let source = Region::new(rig, Side::Far, pair.far.pd, LEN, MemoryUse::Incoming, rights)?;
        let target = pair.near.incoming(rig, LEN)?;
        let sges = [target.sge(0, LEN)];
        dies(rig, &pair, &target, read(9, &sges, &source, 0))?;
    }
    // Without the right on the queue pair.
    let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
    let pair = Pair::new(rig, &Wanted { access, ..Wanted::default() })?;
    let source = pair.far.outgoing(rig, LEN)?;
    let target = pair.near.incoming(rig, LEN)?;
    source.fill(rig, 5)?;
    let sges = [target.sge(0, LEN)];
    let allowed = [WcStatus::RemoteInvalidRequest, WcStatus::RemoteAccess];
    fails_with(rig, &pair, read(9, &sges, &source, 0), &allowed)?;
    target.is_zero(rig, 0, LEN)?;
    // Beyond the end, and with a wrong key.
    for (offset, flip) in [(1, 0), (0, 1)] {
        let pair = Pair::new(rig, &Wanted::default())?;
        let mut source = pair.far.outgoing(rig, LEN)?;
        let target = pair.near.incoming(rig, LEN)?;
        source.fill(rig, 5)?;
        source.keys.rkey.0 ^= flip;
        let sges = [target.sge(0, LEN)];
        dies(rig, &pair, &target, read(9, &sges, &source, offset))?;
    }
    Ok(())
}

fn behind<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, LEN)?;
    let target = pair.far.incoming(rig, LEN)?;
    let word = pair.far.incoming(rig, LEN)?;
    source.fill(rig, 5)?;
    pair.far.receive(rig, 50, word.sge(0, 1000))?;
    pair.far.receive(rig, 51, word.sge(1000, 1000))?;
    let sges = [source.sge(0, 100)];
    let bad = SendOperation::Write { remote_addr: target.at(0), rkey: Rkey(!target.keys.rkey.0) };
    let list =
        [write(1, &sges, &target, 0), request(2, bad, &sges), send(3, &sges), write(4, &sges, &target, 500)];
    pair.near.post(rig, &list)?;
    let first = pair.near.sent(rig)?;
    equal("the first request completes", first.wr_id, 1)?;
    // The one NAK would have acknowledged it, too.
    let silence = unheard(rig, WcStatus::RemoteAccess) == WcStatus::RetryExceeded;
    let allowed = [WcStatus::Success, WcStatus::RetryExceeded];
    one_of("it succeeds, if that can be heard", first.status, &allowed[..1 + usize::from(silence)])?;
    let dead = first.status != WcStatus::Success;
    let status = if dead { WcStatus::Flushed } else { WcStatus::RemoteAccess };
    pair.near.sent_ill(rig, 2, status)?;
    pair.near.sent_ill(rig, 3, WcStatus::Flushed)?;
    pair.near.sent_ill(rig, 4, WcStatus::Flushed)?;
    target.is_only_pattern(rig, 0, 100, 5)?;
    word.is_zero(rig, 0, LEN)?;
    // The peer's queue pair died of it: its receives come back, in order.
    pair.far.becomes(rig, QpState::Error)?;
    for wr_id in [50, 51] {
        let got = pair.far.received(rig)?;
        equal("the receive comes back", got.wr_id, wr_id)?;
        one_of("it took nothing", got.status, &[WcStatus::Flushed, WcStatus::LocalAccess])?;
    }
    Ok(())
}
