//! Ports and devices that come and go.

use super::bench::{Done, End, Pair, Wanted, pause, send, settle, until, write};
use super::failure::{equal, holds, one_of, refused};
use super::{Case, Disturbance, Failure, Rig, Side, list};
use crate::{
    Access, AsyncEvent, CompletionVector, MemoryUse, PortState, Provider, QpState, RdmaPort, VerbsError,
    WcOpcode, WcStatus,
};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "events: a port goes down and comes back" [PortControl] port;
        Any "events: a port down for a moment in mid-write" [PortControl] mid_write;
        Clean "events: a port down for long ends its queue pairs" [PortControl, SilentPeer] down_for_long;
        Any "events: not fetched, the newest state is told" [PortControl] unfetched;
        Any "events: a queue pair that fails in mid-write says so once" [QpFailure, ReceiverNotReady] qp_fails;
        Any "events: a device is taken away" [DeviceRemoval] device;
        Clean "events: what had completed on a device outlives it" [DeviceRemoval] device_had_completed;
        Any "events: one device's end is not the other's" [DeviceRemoval, SecondDevice] other_device;
    ]
}

/// Events that were told until now.
fn drain<R: Rig>(rig: &mut R, side: Side) -> alloc::vec::Vec<AsyncEvent> {
    core::iter::from_fn(|| rig.nic(side).next_event()).collect()
}

#[track_caller]
fn tells<R: Rig>(rig: &mut R, side: Side, event: AsyncEvent) -> Done {
    until(rig, "the event is told", |rig| Ok(drain(rig, side).contains(&event)))
}

fn state<R: Rig>(rig: &mut R, port: RdmaPort) -> Result<PortState, Failure> {
    Ok(rig.nic(Side::Near).port(port)?.state)
}

fn port<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let port = rig.port(Side::Near, 0);
    pair.talks(rig)?;
    drain(rig, Side::Near);
    for _ in 0..2 {
        rig.disturb(Disturbance::PortDown(Side::Near, 0));
        tells(rig, Side::Near, AsyncEvent::PortDown(port))?;
        equal("it is down", state(rig, port)?, PortState::Down)?;
        rig.disturb(Disturbance::PortUp(Side::Near, 0));
        tells(rig, Side::Near, AsyncEvent::PortActive(port))?;
        equal("it is active", state(rig, port)?, PortState::Active)?;
        pair.talks(rig)?;
    }
    Ok(())
}

fn mid_write<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted { timeout: 15, ..Wanted::default() };
    let pair = Pair::new(rig, &wanted)?;
    let source = pair.near.outgoing(rig, 200_000)?;
    let target = pair.far.incoming(rig, 200_000)?;
    source.fill(rig, 5)?;
    for side in [Side::Near, Side::Far] {
        target.zero(rig)?;
        pair.near.post(rig, &[write(1, &[source.sge(0, 200_000)], &target, 0)])?;
        for _ in 0..6 {
            rig.step();
        }
        rig.disturb(Disturbance::PortDown(side, 0));
        settle(rig);
        rig.disturb(Disturbance::PortUp(side, 0));
        pair.near.sent_well(rig, 1, WcOpcode::Write)?;
        target.is_pattern(rig, 0, 200_000, 5, 0)?;
    }
    Ok(())
}

fn down_for_long<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted { timeout: 10, retry_count: 2, ..Wanted::default() };
    let pair = Pair::new(rig, &wanted)?;
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.far.incoming(rig, 100)?;
    rig.disturb(Disturbance::PortDown(Side::Near, 0));
    pair.near.post(rig, &[write(1, &[source.sge(0, 100)], &target, 0)])?;
    pair.near.sent_ill(rig, 1, WcStatus::RetryExceeded)?;
    rig.disturb(Disturbance::PortUp(Side::Near, 0));
    Pair::new(rig, &Wanted::default())?.talks(rig)
}

fn unfetched<R: Rig>(rig: &mut R) -> Done {
    let port = rig.port(Side::Near, 0);
    for _ in 0..300 {
        rig.disturb(Disturbance::PortDown(Side::Near, 0));
        rig.disturb(Disturbance::PortUp(Side::Near, 0));
    }
    rig.disturb(Disturbance::PortDown(Side::Near, 0));
    settle(rig);
    let told = drain(rig, Side::Near);
    holds("the queue is bounded", told.len() < 600)?;
    let of_port = |event: &&AsyncEvent| matches!(event, AsyncEvent::PortDown(p) | AsyncEvent::PortActive(p) if *p == port);
    let last = told.iter().rev().find(of_port);
    equal("the newest state is the last told", last, Some(&AsyncEvent::PortDown(port)))
}

/// Behind the WRITE waits a SEND that nobody can take, so that something is
/// under way even if the WRITE is done already.
fn qp_fails<R: Rig>(rig: &mut R) -> Done {
    let other = Pair::new(rig, &Wanted::default())?;
    for side in [Side::Near, Side::Far] {
        let pair = Pair::new(rig, &Wanted { timeout: 10, ..Wanted::default() })?;
        let source = pair.near.outgoing(rig, 200_000)?;
        let target = pair.far.incoming(rig, 200_000)?;
        source.fill(rig, 5)?;
        pair.near.receive_into(rig, 7, &[])?;
        let (long, short) = ([source.sge(0, 200_000)], [source.sge(0, 44)]);
        pair.near.post(rig, &[write(1, &long, &target, 0), send(2, &short)])?;
        for _ in 0..6 {
            rig.step();
        }
        drain(rig, side);
        let failing = if side == Side::Near { pair.near } else { pair.far };
        rig.disturb(Disturbance::QpFails(side, failing.qp));
        equal("it is in ERR", failing.state(rig)?, QpState::Error)?;
        if side == Side::Near || rig.can(super::Ability::SilentPeer) {
            let first = if side == Side::Near { WcStatus::Flushed } else { WcStatus::RetryExceeded };
            let got = pair.near.sent(rig)?;
            equal("the WRITE completes", got.wr_id, 1)?;
            one_of("it was done, or fails so", got.status, &[WcStatus::Success, first])?;
            let done = got.status == WcStatus::Success;
            let status = if done { first } else { WcStatus::Flushed };
            pair.near.sent_ill(rig, 2, status)?;
            let got = pair.near.received(rig)?;
            equal("the receive is flushed", (got.wr_id, got.status), (7, WcStatus::Flushed))?;
        }
        settle(rig);
        equal("it is told once", drain(rig, side), alloc::vec![AsyncEvent::QpFatal(failing.qp)])?;
        other.talks(rig)?;
    }
    Ok(())
}

/// A SEND that was acknowledged can still be fetched when the device is gone: whoever
/// sent it will not say it again.
fn device_had_completed<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let (source, target) = (pair.far.outgoing(rig, 10)?, pair.near.incoming(rig, 10)?);
    source.fill(rig, 5)?;
    pair.near.receive(rig, 7, target.sge(0, 10))?;
    pair.far.post(rig, &[send(1, &[source.sge(0, 10)])])?;
    pair.far.sent_well(rig, 1, WcOpcode::Send)?;
    rig.disturb(Disturbance::DeviceRemoved(Side::Near, 0));
    tells(rig, Side::Near, AsyncEvent::DeviceGone(pair.near.port.device))?;
    pair.near.received_well(rig, 7, 10)?;
    target.is_pattern(rig, 0, 10, 5, 0)
}

/// All that is left to do with a dead device's objects is to destroy them.
fn device<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted { timeout: 10, ..Wanted::default() };
    let pair = Pair::new(rig, &wanted)?;
    let End { qp, pd, send_cq, recv_cq, port, .. } = pair.near;
    let region = pair.near.incoming(rig, 100)?;
    let memory = rig.nic(Side::Near).alloc_memory(100, MemoryUse::Incoming)?;
    drain(rig, Side::Near);
    rig.disturb(Disturbance::DeviceRemoved(Side::Near, 0));
    tells(rig, Side::Near, AsyncEvent::DeviceGone(port.device))?;

    let gone = |e: &VerbsError| matches!(e, VerbsError::DeviceGone | VerbsError::NoSuch(_));
    let nic = rig.nic(Side::Near);
    let mut list = [crate::DeviceId(u32::MAX); 16];
    let count = nic.devices(&mut list);
    holds("it is not listed", !list.iter().take(count).any(|d| *d == port.device))?;
    refused("device", nic.device(port.device), gone)?;
    refused("port", nic.port(port), gone)?;
    refused("alloc_pd", nic.alloc_pd(port.device), gone)?;
    refused("create_cq", nic.create_cq(port.device, 1, CompletionVector(0)), gone)?;
    refused("register", nic.register(pd, memory, Access::empty()), gone)?;
    refused("post_send", nic.post_send(qp, &[send(1, &[])]), |e| gone(&e.error))?;

    // Memory belongs to no device: it is still there.
    region.is_zero(rig, 0, 100)?;
    let nic = rig.nic(Side::Near);
    refused("order still holds", nic.free_memory(region.memory), |e| matches!(e, VerbsError::InUse(_)))?;
    nic.destroy_qp(qp)?;
    nic.destroy_cq(send_cq)?;
    nic.destroy_cq(recv_cq)?;
    nic.deregister(region.mr)?;
    nic.dealloc_pd(pd)?;
    nic.free_memory(region.memory)?;
    nic.free_memory(memory)?;

    let source = pair.far.outgoing(rig, 10)?;
    let sges = [source.sge(0, 10)];
    pair.far.post(rig, &[send(1, &sges)])?;
    if rig.can(super::Ability::SilentPeer) {
        pair.far.sent_ill(rig, 1, WcStatus::RetryExceeded)?;
    }
    Ok(())
}

fn other_device<R: Rig>(rig: &mut R) -> Done {
    let first = Pair::new(rig, &Wanted::default())?;
    let second = Pair::new(rig, &Wanted { index: 1, ..Wanted::default() })?;
    first.talks(rig)?;
    let target = second.near.incoming(rig, 1000)?;
    let nic = rig.nic(Side::Near);
    nic.register(first.near.pd, target.memory, super::bench::OPEN)?;
    rig.disturb(Disturbance::DeviceRemoved(Side::Near, 0));
    tells(rig, Side::Near, AsyncEvent::DeviceGone(first.near.port.device))?;
    pause(rig, rig.settling());
    second.talks(rig)?;
    let source = second.far.outgoing(rig, 1000)?;
    source.fill(rig, 5)?;
    second.far.post(rig, &[write(1, &[source.sge(0, 1000)], &target, 0)])?;
    second.far.sent_well(rig, 1, WcOpcode::Write)?;
    target.is_pattern(rig, 0, 1000, 5, 0)
}
