//! Peers that do not answer.

use super::bench::{Done, Pair, Wanted, send, unsignalled, write};
use super::failure::{equal, one_of};
use super::{Case, Rig, Side, list};
use crate::{Provider, QpState, WcOpcode, WcStatus};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "errors: a peer that is gone" [SilentPeer] peer_gone;
        Any "errors: a peer in ERR" [SilentPeer] peer_in_error;
        Clean "errors: without retries the first silence is the last" [SilentPeer] no_retry;
        Any "errors: one queue pair's death is no other's" [SilentPeer] alone;
        Any "errors: destroyed with requests under way" destroyed;
    ]
}

fn quick() -> Wanted {
    Wanted { timeout: 10, ..Wanted::default() }
}

#[track_caller]
fn unanswered<R: Rig>(rig: &mut R, pair: &Pair) -> Done {
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.near.incoming(rig, 100)?;
    let word = pair.near.incoming(rig, 100)?;
    pair.near.receive(rig, 7, word.sge(0, 100))?;
    let sges = [source.sge(0, 100)];
    let list = [unsignalled(write(1, &sges, &target, 0)), unsignalled(send(2, &sges)), send(3, &sges)];
    pair.near.post(rig, &list)?;
    pair.near.sent_ill(rig, 1, WcStatus::RetryExceeded)?;
    pair.near.sent_ill(rig, 2, WcStatus::Flushed)?;
    pair.near.sent_ill(rig, 3, WcStatus::Flushed)?;
    let got = pair.near.received(rig)?;
    equal("its receives are flushed", (got.wr_id, got.status), (7, WcStatus::Flushed))?;
    pair.near.becomes(rig, QpState::Error)
}

fn peer_gone<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &quick())?;
    pair.talks(rig)?;
    rig.nic(Side::Far).destroy_qp(pair.far.qp)?;
    unanswered(rig, &pair)
}

/// A request that reaches a queue pair in ERR is dropped (Linux 6.12 rxe).
fn peer_in_error<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &quick())?;
    pair.far.fail(rig)?;
    unanswered(rig, &pair)
}

fn no_retry<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { retry_count: 0, ..quick() })?;
    pair.talks(rig)?;
    rig.nic(Side::Far).destroy_qp(pair.far.qp)?;
    unanswered(rig, &pair)
}

fn alone<R: Rig>(rig: &mut R) -> Done {
    let (dying, living) = (Pair::new(rig, &quick())?, Pair::new(rig, &quick())?);
    dying.far.fail(rig)?;
    let source = dying.near.outgoing(rig, 100)?;
    dying.near.post(rig, &[send(1, &[source.sge(0, 100)])])?;
    for _ in 0..5 {
        living.talks(rig)?;
    }
    dying.near.sent_ill(rig, 1, WcStatus::RetryExceeded)?;
    living.talks(rig)
}

fn destroyed<R: Rig>(rig: &mut R) -> Done {
    for steps in 0..20 {
        let pair = Pair::new(rig, &quick())?;
        let source = pair.near.outgoing(rig, 20_000)?;
        let target = pair.far.incoming(rig, 20_000)?;
        pair.near.post(rig, &[write(1, &[source.sge(0, 20_000)], &target, 0)])?;
        for _ in 0..steps {
            rig.step();
        }
        let side = if steps % 2 == 0 { Side::Near } else { Side::Far };
        let end = if side == Side::Near { pair.near } else { pair.far };
        let nic = rig.nic(side);
        nic.destroy_qp(end.qp)?;
        // Frames still on the way reach nobody.
        for region in [source, target] {
            if region.side == side {
                nic.deregister(region.mr)?;
                nic.free_memory(region.memory)?;
            }
        }
        nic.dealloc_pd(end.pd)?;
        nic.destroy_cq(end.send_cq)?;
        nic.destroy_cq(end.recv_cq)?;
        if side == Side::Far && rig.can(super::Ability::SilentPeer) {
            let got = pair.near.sent(rig)?;
            let allowed = [WcStatus::Success, WcStatus::RetryExceeded];
            one_of("the WRITE ends", got.status, &allowed)?;
            let as_write = got.status != WcStatus::Success || got.opcode == WcOpcode::Write;
            equal("as what it was", as_write, true)?;
        }
    }
    Pair::new(rig, &quick())?.talks(rig)
}
