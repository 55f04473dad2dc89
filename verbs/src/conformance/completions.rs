//! Completions: which, when, and in which order.

use alloc::vec::Vec;

use super::bench::{Done, End, Pair, Wanted, send, stays_empty, unsignalled, until, write};
use super::failure::{equal, holds, one_of, refused};
use super::{Case, Rig, Side, list};
use crate::{
    Completion, CompletionVector, PostError, Provider, QpCapabilities, QpState, RecvRequest, SendRequest,
    VerbsError, WcOpcode, WcStatus,
};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "completions: in the order of posting, of all kinds" order;
        Any "completions: in one list or one by one, it is the same" lists;
        Any "completions: polled in pieces" pieces;
        Any "completions: unsignalled requests succeed silently" silent;
        Any "completions: a signalled one says all before it are done" periodic;
        Any "completions: an unsignalled failure is told" silent_failure;
        Any "completions: a full queue refuses the rest" full;
        Any "completions: a full receive queue refuses the rest" full_receives;
        Any "completions: a bad request ends the list" bad_in_list;
        Any "completions: ERR flushes everything in order" flush;
        Any "completions: in ERR what is posted is flushed" flush_late;
        Any "completions: one queue for several queue pairs" shared;
        Any "completions: a destroyed queue pair's are gone" gone;
        Any "completions: outstanding requests are counted" counted;
    ]
}

fn order<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 5000)?;
    let target = pair.far.incoming(rig, 5000)?;
    let word = pair.far.incoming(rig, 5000)?;
    for n in 0..10 {
        pair.far.receive(rig, n, word.sge(0, 5000))?;
    }
    // A long WRITE first, short messages behind it: none overtakes.
    for n in 0..10_u64 {
        let (long, short) = ([source.sge(0, 5000)], [source.sge(0, n as usize)]);
        pair.near.post(rig, &[write(2 * n, &long, &target, 0), send(2 * n + 1, &short)])?;
    }
    for n in 0..10 {
        pair.near.sent_well(rig, 2 * n, WcOpcode::Write)?;
        pair.near.sent_well(rig, 2 * n + 1, WcOpcode::Send)?;
        pair.far.received_well(rig, n, n as usize)?;
    }
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    stays_empty(rig, Side::Far, pair.far.recv_cq)
}

fn lists<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    source.fill(rig, 5)?;
    let sges: Vec<_> = (0..20).map(|n| [source.sge(n, n)]).collect();
    let into: Vec<_> = (0..20).map(|n| [target.sge(n * 50, 50)]).collect();
    let receives: Vec<_> =
        into.iter().zip(0..).map(|(sges, wr_id)| RecvRequest { wr_id, sges: &sges[..] }).collect();
    let requests: Vec<_> = sges.iter().zip(0..).map(|(sges, wr_id)| send(wr_id, sges)).collect();
    rig.nic(Side::Far).post_recv(pair.far.qp, &receives)?;
    pair.near.post(rig, &requests)?;
    pair.near.post(rig, &[])?;
    for n in 0..20 {
        pair.far.received_well(rig, n, n as usize)?;
        pair.near.sent_well(rig, n, WcOpcode::Send)?;
        target.is_pattern(rig, n as usize * 50, n as usize, 5, n as usize)?;
    }
    Ok(())
}

fn pieces<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.far.incoming(rig, 100)?;
    for n in 0..17 {
        pair.near.post(rig, &[write(n, &[source.sge(0, 100)], &target, 0)])?;
    }
    let mut got = Vec::new();
    let mut room = [Completion::EMPTY; 3];
    until(rig, "all requests complete", |rig| {
        equal("no room takes nothing", rig.nic(Side::Near).poll_cq(pair.near.send_cq, &mut [])?, 0)?;
        let count = rig.nic(Side::Near).poll_cq(pair.near.send_cq, &mut room)?;
        holds("no more than there is room for", count <= 3)?;
        got.extend(room.iter().take(count).map(|completion| completion.wr_id));
        Ok(got.len() >= 17)
    })?;
    equal("each came once, in order", got, (0..17).collect())
}

fn silent<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.far.incoming(rig, 100)?;
    let word = pair.far.incoming(rig, 100)?;
    source.fill(rig, 5)?;
    pair.far.receive(rig, 1, word.sge(0, 100))?;
    let sges = [source.sge(0, 100)];
    pair.near.post(rig, &[unsignalled(write(1, &sges, &target, 0)), unsignalled(send(2, &sges))])?;
    pair.far.received_well(rig, 1, 100)?;
    target.is_pattern(rig, 0, 100, 5, 0)?;
    word.is_pattern(rig, 0, 100, 5, 0)?;
    stays_empty(rig, Side::Near, pair.near.send_cq)
}

fn periodic<R: Rig>(rig: &mut R) -> Done {
    const SIGNAL_EVERY: u64 = 4;
    let pair = Pair::new(rig, &Wanted::default())?;
    let depth = u64::from(rig.nic(Side::Near).qp(pair.near.qp)?.capabilities.max_send_wr);
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    source.fill(rig, 5)?;
    let (mut posted, mut done) = (0, 0);
    let total = depth.min(64) * 6 / SIGNAL_EVERY * SIGNAL_EVERY;
    while done < total {
        while posted < total && posted - done < depth {
            let sges = [source.sge(0, 1000)];
            let request = write(posted, &sges, &target, 0);
            posted += 1;
            let signalled = posted % SIGNAL_EVERY == 0;
            pair.near.post(rig, &[SendRequest { signalled, ..request }])?;
        }
        pair.near.sent_well(rig, done + SIGNAL_EVERY - 1, WcOpcode::Write)?;
        done += SIGNAL_EVERY;
        let outstanding = rig.nic(Side::Near).qp(pair.near.qp)?.send_outstanding;
        holds("those before it are done", u64::from(outstanding) <= posted - done)?;
    }
    target.is_pattern(rig, 0, 1000, 5, 0)?;
    stays_empty(rig, Side::Near, pair.near.send_cq)
}

fn silent_failure<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    let mut target = pair.far.incoming(rig, 100)?;
    target.keys.rkey.0 ^= 1;
    let sges = [source.sge(0, 100)];
    let bad = unsignalled(write(1, &sges, &target, 0));
    pair.near.post(rig, &[bad, unsignalled(send(2, &sges))])?;
    pair.near.sent_ill(rig, 1, WcStatus::RemoteAccess)?;
    pair.near.sent_ill(rig, 2, WcStatus::Flushed)
}

fn full<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let depth = rig.nic(Side::Near).qp(pair.near.qp)?.capabilities.max_send_wr as usize;
    let source = pair.near.outgoing(rig, 16)?;
    let target = pair.far.incoming(rig, 16)?;
    let sges = [source.sge(0, 16)];
    let list: Vec<_> = (0..depth as u64 + 3).map(|n| write(n, &sges, &target, 0)).collect();
    let rest = PostError { posted: depth, error: VerbsError::QueueFull };
    for _ in 0..3 {
        refused("the queue is full", rig.nic(Side::Near).post_send(pair.near.qp, &list), |e| *e == rest)?;
        let one_more = rig.nic(Side::Near).post_send(pair.near.qp, &[send(0, &[])]);
        refused("and stays full", one_more, |e| *e == PostError { posted: 0, ..rest })?;
        for n in 0..depth as u64 {
            pair.near.sent_well(rig, n, WcOpcode::Write)?;
        }
    }
    stays_empty(rig, Side::Near, pair.near.send_cq)
}

fn full_receives<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let depth = rig.nic(Side::Far).qp(pair.far.qp)?.capabilities.max_recv_wr as usize;
    let list: Vec<_> = (0..depth as u64 + 3).map(|wr_id| RecvRequest { wr_id, sges: &[] }).collect();
    let rest = PostError { posted: depth, error: VerbsError::QueueFull };
    refused("the queue is full", rig.nic(Side::Far).post_recv(pair.far.qp, &list), |e| *e == rest)?;
    equal("all that fit are there", rig.nic(Side::Far).qp(pair.far.qp)?.recv_posted as usize, depth)?;
    for n in 0..depth as u64 {
        pair.near.post(rig, &[send(n, &[])])?;
        pair.far.received_well(rig, n, 0)?;
        pair.near.sent_well(rig, n, WcOpcode::Send)?;
    }
    equal("all were used", rig.nic(Side::Far).qp(pair.far.qp)?.recv_posted, 0)?;
    refused("and there is room again", rig.nic(Side::Far).post_recv(pair.far.qp, &list), |e| *e == rest)
}

fn bad_in_list<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 64)?;
    let target = pair.far.incoming(rig, 64)?;
    let most = rig.nic(Side::Near).qp(pair.near.qp)?.capabilities.max_send_sge as usize;
    let (one, many) = ([source.sge(0, 1)], alloc::vec![source.sge(0, 1); most + 1]);
    let list =
        [write(1, &one, &target, 0), write(2, &one, &target, 0), send(3, &many), write(4, &one, &target, 0)];
    let result = rig.nic(Side::Near).post_send(pair.near.qp, &list);
    refused("the third is bad", result, |e| e.posted == 2 && matches!(e.error, VerbsError::OutOfRange(_)))?;
    pair.near.sent_well(rig, 1, WcOpcode::Write)?;
    pair.near.sent_well(rig, 2, WcOpcode::Write)?;
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    pair.talks(rig)
}

fn flush<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.near.incoming(rig, 100)?;
    for n in 0..8 {
        pair.near.receive(rig, 100 + n, target.sge(0, 100))?;
        // Nobody posted receives for these. Every second one is unsignalled.
        let sges = [source.sge(0, 100)];
        let request = send(n, &sges);
        pair.near.post(rig, &[SendRequest { signalled: n % 2 == 0, ..request }])?;
    }
    pair.near.fail(rig)?;
    for n in 0..8 {
        pair.near.sent_ill(rig, n, WcStatus::Flushed)?;
        let got = pair.near.received(rig)?;
        equal("the receive is flushed", (got.wr_id, got.status), (100 + n, WcStatus::Flushed))?;
        equal("it names its queue pair", got.qp, pair.near.qp)?;
    }
    let qp = rig.nic(Side::Near).qp(pair.near.qp)?;
    equal("nothing is left", (qp.state, qp.send_outstanding, qp.recv_posted), (QpState::Error, 0, 0))?;
    stays_empty(rig, Side::Near, pair.near.send_cq)?;
    stays_empty(rig, Side::Near, pair.near.recv_cq)
}

fn flush_late<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    pair.near.fail(rig)?;
    for round in 0..40 {
        pair.near.post(rig, &[send(round, &[]), unsignalled(send(round + 1, &[]))])?;
        pair.near.receive_into(rig, round + 2, &[])?;
        pair.near.sent_ill(rig, round, WcStatus::Flushed)?;
        pair.near.sent_ill(rig, round + 1, WcStatus::Flushed)?;
        let got = pair.near.received(rig)?;
        equal("the receive is flushed", (got.wr_id, got.status), (round + 2, WcStatus::Flushed))?;
    }
    Ok(())
}

/// One completion queue for everything of four queue pairs on each side.
fn shared<R: Rig>(rig: &mut R) -> Done {
    let capabilities = QpCapabilities { max_send_wr: 8, max_recv_wr: 8, ..Wanted::default().capabilities };
    let wanted = Wanted { capabilities, ..Wanted::default() };
    let mut ends = [Vec::new(), Vec::new()];
    for (side, ends) in [Side::Near, Side::Far].into_iter().zip(&mut ends) {
        let device = rig.port(side, 0).device;
        let cq = rig.nic(side).create_cq(device, 128, CompletionVector(0))?;
        let pd = rig.nic(side).alloc_pd(device)?;
        for _ in 0..4 {
            ends.push(End::on(rig, side, &wanted, pd, cq, cq)?);
        }
    }
    let [near, far] = ends;
    let mut pairs = Vec::new();
    for (near, far) in near.into_iter().zip(far) {
        pairs.push(Pair { near, far }.connected(rig, &wanted)?);
    }
    for (n, pair) in pairs.iter().enumerate() {
        let (source, target) = (pair.near.outgoing(rig, 700)?, pair.far.incoming(rig, 700)?);
        for wr_id in 0..8 {
            pair.far.receive(rig, wr_id, target.sge(0, 700))?;
            pair.near.post(rig, &[send(wr_id, &[source.sge(0, 100 * n + 7)])])?;
        }
    }
    for side in [Side::Near, Side::Far] {
        let mut next = [0; 4];
        for _ in 0..32 {
            let got = match (side, pairs.first()) {
                (Side::Near, Some(pair)) => pair.near.sent(rig)?,
                (Side::Far, Some(pair)) => pair.far.received(rig)?,
                (_, None) => return Ok(()),
            };
            equal("it succeeds", got.status, WcStatus::Success)?;
            let whose = pairs.iter().map(|pair| if side == Side::Near { pair.near.qp } else { pair.far.qp });
            let which = whose.zip(&mut next).enumerate().find(|(_, (qp, _))| *qp == got.qp);
            let (n, next) = match which {
                Some((n, (_, next))) => (n, next),
                None => return holds("it names one of the queue pairs", false),
            };
            equal("each queue pair's come in order", got.wr_id, *next)?;
            *next += 1;
            if side == Side::Far {
                equal("its own length", got.byte_len as usize, 100 * n + 7)?;
            }
        }
        equal("each got all of its own", next, [8; 4])?;
    }
    Ok(())
}

fn gone<R: Rig>(rig: &mut R) -> Done {
    let wanted = Wanted::default();
    let first = Pair::new(rig, &wanted)?;
    let near = End::on(rig, Side::Near, &wanted, first.near.pd, first.near.send_cq, first.near.recv_cq)?;
    let far = End::new(rig, Side::Far, &wanted)?;
    let second = Pair { near, far }.connected(rig, &wanted)?;
    for (pair, wr_id) in [(first, 1), (second, 2)] {
        let target = pair.far.incoming(rig, 1)?;
        for _ in 0..3 {
            pair.near.post(rig, &[write(wr_id, &[], &target, 0)])?;
        }
    }
    // All six are done once nothing is outstanding; none is polled yet.
    until(rig, "the WRITEs are done", |rig| {
        let mut outstanding = 0;
        for pair in [first, second] {
            outstanding += rig.nic(Side::Near).qp(pair.near.qp)?.send_outstanding;
        }
        Ok(outstanding == 0)
    })?;
    rig.nic(Side::Near).destroy_qp(first.near.qp)?;
    for _ in 0..3 {
        second.near.sent_well(rig, 2, WcOpcode::Write)?;
    }
    stays_empty(rig, Side::Near, second.near.send_cq)?;
    second.talks(rig)
}

fn counted<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 10)?;
    let target = pair.far.incoming(rig, 10)?;
    let sges = [source.sge(0, 10)];
    pair.near.post(rig, &[unsignalled(write(1, &sges, &target, 0)), send(2, &sges)])?;
    // No receive is posted yet: the SEND cannot be done.
    let outstanding = rig.nic(Side::Near).qp(pair.near.qp)?.send_outstanding;
    one_of("what is under way is counted", outstanding, &[1, 2])?;
    pair.far.receive(rig, 1, target.sge(0, 10))?;
    pair.far.receive(rig, 2, target.sge(0, 10))?;
    pair.far.received_well(rig, 1, 10)?;
    pair.near.sent_well(rig, 2, WcOpcode::Send)?;
    equal("all are done", rig.nic(Side::Near).qp(pair.near.qp)?.send_outstanding, 0)?;
    equal("one receive is left", rig.nic(Side::Far).qp(pair.far.qp)?.recv_posted, 1)
}
