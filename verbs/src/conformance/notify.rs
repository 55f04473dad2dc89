//! Arming and notification: one wake-up for each arming, none lost.

use super::bench::{Done, Pair, Wanted, poll_one, send, settle, until, write};
use super::failure::{equal, holds};
use super::{Case, Failure, Rig, Side, list};
use crate::{ArmFor, CqHandle, Provider, SendRequest};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "notify: an armed queue tells once" once;
        Any "notify: a queue that is not armed is silent" unarmed;
        Any "notify: what waits already is told while arming" waiting;
        Any "notify: no wake-up is lost between poll and arm" none_lost;
        Any "notify: solicited only" solicited;
        Any "notify: a failure counts as solicited" failure;
        Any "notify: each armed queue for itself" each;
        Any "notify: a destroyed queue is not told of" destroyed;
    ]
}

fn notified<R: Rig>(rig: &mut R, side: Side) -> Option<CqHandle> {
    rig.nic(side).next_notification()
}

#[track_caller]
fn wakes<R: Rig>(rig: &mut R, side: Side, cq: CqHandle) -> Done {
    let mut woken = None;
    until(rig, "the armed queue notifies", |rig| {
        woken = notified(rig, side);
        Ok(woken.is_some())
    })?;
    equal("it is the armed one", woken, Some(cq))
}

#[track_caller]
fn sleeps<R: Rig>(rig: &mut R, side: Side) -> Done {
    settle(rig);
    equal("nothing notifies", notified(rig, side), None)
}

fn drain<R: Rig>(rig: &mut R, side: Side, cq: CqHandle) -> Result<usize, Failure> {
    let mut count = 0;
    while poll_one(rig, side, cq)?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn message<R: Rig>(rig: &mut R, pair: &Pair, solicited: bool) -> Done {
    pair.far.receive_into(rig, 1, &[])?;
    pair.near.post(rig, &[SendRequest { solicited, ..send(1, &[]) }])
}

fn once<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let cq = pair.far.recv_cq;
    for _ in 0..3 {
        holds("nothing waits", !rig.nic(Side::Far).arm_cq(cq, ArmFor::Next)?)?;
        equal("nothing notifies yet", notified(rig, Side::Far), None)?;
        message(rig, &pair, false)?;
        wakes(rig, Side::Far, cq)?;
        message(rig, &pair, false)?;
        message(rig, &pair, true)?;
        for _ in 0..3 {
            // Once the sender knows, the receiver's completion is there.
            pair.near.sent(rig)?;
        }
        sleeps(rig, Side::Far)?;
        equal("all came", drain(rig, Side::Far, cq)?, 3)?;
    }
    Ok(())
}

fn unarmed<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    message(rig, &pair, true)?;
    pair.far.received_well(rig, 1, 0)?;
    sleeps(rig, Side::Far)?;
    sleeps(rig, Side::Near)
}

fn waiting<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    message(rig, &pair, false)?;
    // Once the sender knows, the receiver's completion is there.
    pair.near.sent(rig)?;
    holds("a completion waits", rig.nic(Side::Far).arm_cq(pair.far.recv_cq, ArmFor::Next)?)?;
    pair.far.received_well(rig, 1, 0)
}

/// The loop every event-driven owner runs, against messages that come at any
/// moment.
fn none_lost<R: Rig>(rig: &mut R) -> Done {
    const MESSAGES: u64 = 40;
    let pair = Pair::new(rig, &Wanted::default())?;
    let cq = pair.far.recv_cq;
    let (mut sent, mut got, mut asleep) = (0, 0, false);
    for _ in 0..8 {
        pair.far.receive_into(rig, 1, &[])?;
    }
    let mut turn = 0_u64;
    until(rig, "every message wakes somebody", |rig| {
        turn += 1;
        if sent < MESSAGES && sent - got < 8 && !turn.is_multiple_of(3) {
            pair.near.post(rig, &[send(sent, &[])])?;
            sent += 1;
        }
        drain(rig, Side::Near, pair.near.send_cq)?;
        if asleep && notified(rig, Side::Far).is_none() {
            return Ok(false);
        }
        let came = drain(rig, Side::Far, cq)?;
        for _ in 0..came {
            pair.far.receive_into(rig, 1, &[])?;
        }
        got += came as u64;
        if turn.is_multiple_of(2) {
            // Something may happen between the last poll and the arming.
            rig.step();
        }
        asleep = !rig.nic(Side::Far).arm_cq(cq, ArmFor::Next)?;
        Ok(got == MESSAGES)
    })
}

fn solicited<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let cq = pair.far.recv_cq;
    for _ in 0..2 {
        rig.nic(Side::Far).arm_cq(cq, ArmFor::Solicited)?;
        message(rig, &pair, false)?;
        pair.near.sent(rig)?;
        sleeps(rig, Side::Far)?;
        message(rig, &pair, true)?;
        wakes(rig, Side::Far, cq)?;
        equal("both came", drain(rig, Side::Far, cq)?, 2)?;
    }
    Ok(())
}

fn failure<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    pair.far.receive_into(rig, 1, &[])?;
    rig.nic(Side::Far).arm_cq(pair.far.recv_cq, ArmFor::Solicited)?;
    pair.far.fail(rig)?;
    wakes(rig, Side::Far, pair.far.recv_cq)?;
    equal("the receive came back", drain(rig, Side::Far, pair.far.recv_cq)?, 1)
}

fn each<R: Rig>(rig: &mut R) -> Done {
    let pairs = [Pair::new(rig, &Wanted::default())?, Pair::new(rig, &Wanted::default())?];
    for pair in &pairs {
        rig.nic(Side::Near).arm_cq(pair.near.send_cq, ArmFor::Next)?;
    }
    for pair in pairs.iter().rev() {
        let target = pair.far.incoming(rig, 1)?;
        pair.near.post(rig, &[write(1, &[], &target, 0)])?;
        wakes(rig, Side::Near, pair.near.send_cq)?;
        drain(rig, Side::Near, pair.near.send_cq)?;
    }
    sleeps(rig, Side::Near)
}

fn destroyed<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    pair.far.receive_into(rig, 1, &[])?;
    rig.nic(Side::Far).arm_cq(pair.far.recv_cq, ArmFor::Next)?;
    pair.far.fail(rig)?;
    let nic = rig.nic(Side::Far);
    nic.destroy_qp(pair.far.qp)?;
    nic.destroy_cq(pair.far.recv_cq)?;
    let told = nic.next_notification();
    holds("a dead queue is not told of", told != Some(pair.far.recv_cq))
}
