//! The states of a queue pair (IBTA §10.3.1).

use smolsmc_wire::{MtuCode, Psn};

use super::bench::{Done, End, Pair, Wanted, send, stays_empty};
use super::failure::{equal, refused};
use super::{Case, Rig, Side, list};
use crate::{PortNumber, Provider, QpState, QpTransition, RecvRequest, VerbsError, WcOpcode, WcStatus};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "states: every transition, allowed or refused" transitions;
        Any "states: what can be posted in each" posting;
        Any "states: attributes out of range leave the state as it was" attributes;
        Any "states: an MTU above the port's is refused" mtu_above_port;
        Any "states: a queue pair in RTR answers" answers_in_rtr;
        Any "states: receives posted in INIT are used" posted_in_init;
        Any "states: RESET forgets, and life begins again" reset;
        Any "states: from ERR through RESET to a new life" revived;
    ]
}

const STATES: [QpState; 5] =
    [QpState::Reset, QpState::Init, QpState::ReadyToReceive, QpState::ReadyToSend, QpState::Error];

const fn allowed(from: QpState, to: QpState) -> bool {
    matches!(
        (from, to),
        (_, QpState::Reset | QpState::Error)
            | (QpState::Reset, QpState::Init)
            | (QpState::Init, QpState::ReadyToReceive)
            | (QpState::ReadyToReceive, QpState::ReadyToSend)
    )
}

fn transitions<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let peer = End::new(rig, Side::Far, &wanted)?;
    for from in STATES {
        for to in STATES {
            let end = End::new(rig, Side::Near, &wanted)?;
            end.bring(rig, from, &wanted, &peer)?;
            equal("it got there", end.state(rig)?, from)?;
            let transition = end.transition(rig, to, &wanted, &peer);
            let result = rig.nic(Side::Near).modify_qp(end.qp, transition);
            if allowed(from, to) {
                result?;
                equal("it went on", end.state(rig)?, to)?;
            } else {
                refused("states have an order", result, |e| *e == VerbsError::WrongState(from))?;
                equal("it stayed", end.state(rig)?, from)?;
            }
            rig.nic(Side::Near).destroy_qp(end.qp)?;
        }
    }
    Ok(())
}

fn posting<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let peer = End::new(rig, Side::Far, &wanted)?;
    for state in STATES {
        let end = End::new(rig, Side::Near, &wanted)?;
        end.bring(rig, state, &wanted, &peer)?;
        let received = rig.nic(Side::Near).post_recv(end.qp, &[RecvRequest { wr_id: 1, sges: &[] }]);
        let sent = rig.nic(Side::Near).post_send(end.qp, &[send(2, &[])]);
        let wrong = VerbsError::WrongState(state);
        match state {
            QpState::Reset => refused("no receive", received, |e| e.error == wrong && e.posted == 0)?,
            _ => received?,
        }
        match state {
            QpState::ReadyToSend | QpState::Error => sent?,
            _ => refused("no send", sent, |e| e.error == wrong && e.posted == 0)?,
        }
        if state == QpState::Error {
            end.sent_ill(rig, 2, WcStatus::Flushed)?;
            let flushed = end.received(rig)?;
            equal("the receive is flushed", (flushed.wr_id, flushed.status), (1, WcStatus::Flushed))?;
        }
    }
    Ok(())
}

fn attributes<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let peer = End::new(rig, Side::Far, &wanted)?;
    let end = End::new(rig, Side::Near, &wanted)?;
    let table = rig.nic(Side::Near).port(end.port)?.gid_table_len;

    if let QpTransition::Init(right) = end.transition(rig, QpState::Init, &wanted, &peer) {
        for port in [PortNumber(0), PortNumber(u8::MAX)] {
            let wrong = QpTransition::Init(crate::InitAttributes { port, ..right });
            stays(rig, &end, wrong, QpState::Reset)?;
        }
        rig.nic(Side::Near).modify_qp(end.qp, QpTransition::Init(right))?;
    }
    if let QpTransition::ReadyToReceive(right) = end.transition(rig, QpState::ReadyToReceive, &wanted, &peer)
    {
        let no_gid = crate::AddressVector { source_gid_index: table, ..right.path };
        let wrong = [
            crate::RtrAttributes { path_mtu: MtuCode::from_code(0), ..right },
            crate::RtrAttributes { path_mtu: MtuCode::from_code(6), ..right },
            crate::RtrAttributes { min_rnr_timer: 32, ..right },
            crate::RtrAttributes { path: no_gid, ..right },
        ];
        for attributes in wrong {
            stays(rig, &end, QpTransition::ReadyToReceive(attributes), QpState::Init)?;
        }
        rig.nic(Side::Near).modify_qp(end.qp, QpTransition::ReadyToReceive(right))?;
    }
    if let QpTransition::ReadyToSend(right) = end.transition(rig, QpState::ReadyToSend, &wanted, &peer) {
        let wrong = [
            crate::RtsAttributes { timeout: 32, ..right },
            crate::RtsAttributes { retry_count: 8, ..right },
            crate::RtsAttributes { rnr_retry: 8, ..right },
        ];
        for attributes in wrong {
            stays(rig, &end, QpTransition::ReadyToSend(attributes), QpState::ReadyToReceive)?;
        }
        rig.nic(Side::Near).modify_qp(end.qp, QpTransition::ReadyToSend(right))?;
    }
    equal("all right attributes were taken", end.state(rig)?, QpState::ReadyToSend)
}

#[track_caller]
fn stays<R: Rig>(rig: &mut R, end: &End, wrong: QpTransition, state: QpState) -> Done {
    let result = rig.nic(end.side).modify_qp(end.qp, wrong);
    refused("the attribute is out of range", result, |e| matches!(e, VerbsError::OutOfRange(_)))?;
    equal("the state is as before", end.state(rig)?, state)
}

fn mtu_above_port<R: Rig>(rig: &mut R) -> Done {
    let port = rig.port(Side::Near, 0);
    let active = rig.nic(Side::Near).port(port)?.active_mtu;
    let above = MtuCode::from_code(active.code() + 1);
    let wanted = Wanted { mtu: above, ..Wanted::default() };
    let (near, far) = (End::new(rig, Side::Near, &wanted)?, End::new(rig, Side::Far, &wanted)?);
    near.bring(rig, QpState::Init, &wanted, &far)?;
    let transition = near.transition(rig, QpState::ReadyToReceive, &wanted, &far);
    stays(rig, &near, transition, QpState::Init)?;
    let fits = Wanted { mtu: active, ..wanted };
    let transition = near.transition(rig, QpState::ReadyToReceive, &fits, &far);
    Ok(rig.nic(Side::Near).modify_qp(near.qp, transition)?)
}

fn answers_in_rtr<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let (near, far) = (End::new(rig, Side::Near, &wanted)?, End::new(rig, Side::Far, &wanted)?);
    near.bring(rig, QpState::ReadyToSend, &wanted, &far)?;
    far.bring(rig, QpState::ReadyToReceive, &wanted, &near)?;
    let (source, target) = (near.outgoing(rig, 64)?, far.incoming(rig, 64)?);
    source.fill(rig, 3)?;
    far.receive(rig, 1, target.sge(0, 64))?;
    near.post(rig, &[send(2, &[source.sge(0, 64)])])?;
    far.received_well(rig, 1, 64)?;
    near.sent_well(rig, 2, WcOpcode::Send)?;
    target.is_pattern(rig, 0, 64, 3, 0)?;
    let transition = far.transition(rig, QpState::ReadyToSend, &wanted, &near);
    rig.nic(Side::Far).modify_qp(far.qp, transition)?;
    Pair { near, far }.talks(rig)
}

fn posted_in_init<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let (near, far) = (End::new(rig, Side::Near, &wanted)?, End::new(rig, Side::Far, &wanted)?);
    far.bring(rig, QpState::Init, &wanted, &near)?;
    let (source, target) = (near.outgoing(rig, 64)?, far.incoming(rig, 64)?);
    far.receive(rig, 1, target.sge(0, 64))?;
    equal("it counts as posted", rig.nic(Side::Far).qp(far.qp)?.recv_posted, 1)?;
    for state in [QpState::ReadyToReceive, QpState::ReadyToSend] {
        let transition = far.transition(rig, state, &wanted, &near);
        rig.nic(Side::Far).modify_qp(far.qp, transition)?;
    }
    near.bring(rig, QpState::ReadyToSend, &wanted, &far)?;
    near.post(rig, &[send(2, &[source.sge(0, 64)])])?;
    far.received_well(rig, 1, 64)?;
    near.sent_well(rig, 2, WcOpcode::Send)
}

fn reset<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let pair = Pair::new(rig, &wanted)?;
    let source = pair.near.outgoing(rig, 64)?;
    let target = pair.near.incoming(rig, 64)?;
    pair.near.receive(rig, 1, target.sge(0, 64))?;
    // Nobody posted a receive for it: it stays in the queue.
    pair.near.post(rig, &[send(2, &[source.sge(0, 64)])])?;
    for end in [pair.near, pair.far] {
        rig.nic(end.side).modify_qp(end.qp, QpTransition::Reset)?;
        let qp = rig.nic(end.side).qp(end.qp)?;
        equal("it is in RESET", qp.state, QpState::Reset)?;
        equal("nothing is posted", (qp.send_outstanding, qp.recv_posted), (0, 0))?;
    }
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    stays_empty(rig, Side::Near, pair.near.recv_cq)?;
    let again = Wanted { psn: [Psn::new(0x123456), Psn::new(0x654321)], ..wanted };
    pair.connected(rig, &again)?.talks(rig)
}

fn revived<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let pair = Pair::new(rig, &wanted)?;
    pair.talks(rig)?;
    for end in [pair.near, pair.far] {
        end.fail(rig)?;
        equal("it is in ERR", end.state(rig)?, QpState::Error)?;
        rig.nic(end.side).modify_qp(end.qp, QpTransition::Reset)?;
    }
    let again = Wanted { psn: [Psn::new(0x800000), Psn::new(0x7fffff)], ..wanted };
    pair.connected(rig, &again)?.talks(rig)
}
