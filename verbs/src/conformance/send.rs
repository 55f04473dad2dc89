//! SEND.

use smolsmc_wire::MtuCode;

use super::bench::{Done, Pair, Wanted, send};
use super::failure::{equal, holds};
use super::{Case, Rig, Side, list};
use crate::{
    Payload, Provider, QpCapabilities, QpState, SendOperation, SendRequest, Sge, WcOpcode, WcStatus,
};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "send: sizes around every MTU" sizes;
        Any "send: gathered from several elements" gathered;
        Any "send: scattered over several elements" scattered;
        Any "send: inline data is copied while posting" inline;
        Any "send: a receive that fits exactly" exact_fit;
        Any "send: a receive too short" too_short;
        Any "send: many in a row keep their order" in_order;
        Any "send: both directions at once" both_ways;
    ]
}

/// MTUs both ports can do.
pub(super) fn mtus<R: Rig>(
    rig: &mut R,
) -> Result<impl Iterator<Item = (MtuCode, usize)> + use<R>, super::Failure> {
    let mut most = MtuCode::OCTETS_4096;
    for side in [Side::Near, Side::Far] {
        let port = rig.port(side, 0);
        most = most.min(rig.nic(side).port(port)?.active_mtu);
    }
    let codes = (1..=most.code()).map(MtuCode::from_code);
    Ok(codes.filter_map(|code| Some((code, usize::from(code.octets()?)))))
}

fn sizes<R: Rig>(rig: &mut R) -> Done {
    for (mtu, octets) in mtus(rig)? {
        let pair = Pair::new(rig, &Wanted { mtu, ..Wanted::default() })?;
        let room = 5 * octets;
        let source = pair.near.outgoing(rig, room)?;
        let target = pair.far.incoming(rig, room)?;
        source.fill(rig, 5)?;
        for len in [0, 1, 2, 3, 44, octets - 1, octets, octets + 1, 2 * octets, 3 * octets + 5, room] {
            target.zero(rig)?;
            pair.far.receive(rig, len as u64, target.sge(0, room))?;
            pair.near.post(rig, &[send(1000 + len as u64, &[source.sge(0, len)])])?;
            pair.far.received_well(rig, len as u64, len)?;
            pair.near.sent_well(rig, 1000 + len as u64, WcOpcode::Send)?;
            target.is_only_pattern(rig, 0, len, 5)?;
        }
    }
    Ok(())
}

fn most_elements<R: Rig>(rig: &mut R) -> Result<Wanted, super::Failure> {
    let port = rig.port(Side::Near, 0);
    let sges = rig.nic(Side::Near).device(port.device)?.max_sge.min(8);
    let capabilities =
        QpCapabilities { max_send_sge: sges, max_recv_sge: sges, ..Wanted::default().capabilities };
    Ok(Wanted { capabilities, mtu: MtuCode::OCTETS_256, ..Wanted::default() })
}

/// Cuts `total` octets of a pattern into `count` stretches of unequal length.
fn cuts(total: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).map(move |n| {
        let edge = |n: usize| if n == count { total } else { (total * n / count) | usize::from(n > 0) };
        (edge(n), edge(n + 1) - edge(n))
    })
}

fn gathered<R: Rig>(rig: &mut R) -> Done {
    let wanted = most_elements(rig)?;
    let pair = Pair::new(rig, &wanted)?;
    let source = pair.near.outgoing(rig, 2000)?;
    let target = pair.far.incoming(rig, 2000)?;
    source.fill(rig, 5)?;
    for count in 1..=wanted.capabilities.max_send_sge as usize {
        for total in [count * 3, 256, 257, 1999] {
            target.zero(rig)?;
            let mut sges = [Sge::default(); 8];
            for (sge, (at, len)) in sges.iter_mut().zip(cuts(total, count)) {
                *sge = source.sge(at, len);
            }
            pair.far.receive(rig, 1, target.sge(0, 2000))?;
            pair.near.post(rig, &[send(2, sges.get(..count).unwrap_or(&[]))])?;
            pair.far.received_well(rig, 1, total)?;
            pair.near.sent_well(rig, 2, WcOpcode::Send)?;
            target.is_only_pattern(rig, 0, total, 5)?;
        }
    }
    // Elements without octets carry nothing, wherever they stand.
    target.zero(rig)?;
    pair.far.receive(rig, 1, target.sge(0, 2000))?;
    let sges = [source.sge(0, 0), source.sge(0, 300), source.sge(9, 0)];
    if wanted.capabilities.max_send_sge >= 3 {
        pair.near.post(rig, &[send(2, &sges)])?;
        pair.far.received_well(rig, 1, 300)?;
        target.is_only_pattern(rig, 0, 300, 5)?;
    }
    Ok(())
}

fn scattered<R: Rig>(rig: &mut R) -> Done {
    let wanted = most_elements(rig)?;
    let pair = Pair::new(rig, &wanted)?;
    let source = pair.near.outgoing(rig, 2000)?;
    source.fill(rig, 5)?;
    let target = pair.far.incoming(rig, 4000)?;
    for count in 1..=wanted.capabilities.max_recv_sge as usize {
        for len in [1, 256, 700, 1999] {
            target.zero(rig)?;
            // Stretches lie with gaps of 100 octets, the last one first.
            let mut sges = [Sge::default(); 8];
            for (n, (sge, (at, len))) in sges.iter_mut().zip(cuts(2000, count)).enumerate() {
                *sge = target.sge(4000 - at - len - n * 100, len);
            }
            let sges = sges.get(..count).unwrap_or(&[]);
            pair.far.receive_into(rig, 1, sges)?;
            pair.near.post(rig, &[send(2, &[source.sge(0, len)])])?;
            pair.far.received_well(rig, 1, len)?;
            pair.near.sent_well(rig, 2, WcOpcode::Send)?;
            let mut from = 0;
            for sge in sges {
                let at = (sge.addr - target.keys.iova) as usize;
                let used = (sge.len as usize).min(len - from);
                target.is_pattern(rig, at, used, 5, from)?;
                from += used;
            }
            equal("all of it is there", from, len)?;
            let touched = target.octets(rig, 0, 4000)?.iter().filter(|octet| **octet != 0).count();
            equal("and nothing else was touched", touched, len)?;
        }
    }
    Ok(())
}

fn inline<R: Rig>(rig: &mut R) -> Done {
    let port = rig.port(Side::Near, 0);
    let most = rig.nic(Side::Near).device(port.device)?.max_inline_data.min(512);
    let capabilities = QpCapabilities { max_inline_data: most, ..Wanted::default().capabilities };
    let pair = Pair::new(rig, &Wanted { capabilities, mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let granted = rig.nic(Side::Near).qp(pair.near.qp)?.capabilities.max_inline_data;
    holds("inline data as asked", granted >= most)?;
    let target = pair.far.incoming(rig, 512)?;
    for len in [0, 1, 3, most as usize / 2, most as usize] {
        let mut octets = [0; 512];
        for (n, octet) in octets.iter_mut().enumerate() {
            *octet = super::bench::pattern(5, n);
        }
        target.zero(rig)?;
        pair.far.receive(rig, 1, target.sge(0, 512))?;
        let payload = Payload::Inline(octets.get(..len).unwrap_or(&[]));
        let request = SendRequest {
            wr_id: 2,
            operation: SendOperation::Send,
            payload,
            signalled: true,
            solicited: false,
        };
        pair.near.post(rig, &[request])?;
        octets.fill(0xff);
        pair.far.received_well(rig, 1, len)?;
        pair.near.sent_well(rig, 2, WcOpcode::Send)?;
        target.is_only_pattern(rig, 0, len, 5)?;
    }
    Ok(())
}

fn exact_fit<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1100)?;
    source.fill(rig, 5)?;
    for len in [0, 1, 255, 256, 257, 1000] {
        target.zero(rig)?;
        pair.far.receive(rig, 1, target.sge(50, len))?;
        pair.near.post(rig, &[send(2, &[source.sge(0, len)])])?;
        pair.far.received_well(rig, 1, len)?;
        pair.near.sent_well(rig, 2, WcOpcode::Send)?;
        target.is_only_pattern(rig, 50, len, 5)?;
    }
    Ok(())
}

fn too_short<R: Rig>(rig: &mut R) -> Done {
    for (room, len) in [(0, 1), (10, 11), (255, 256), (256, 257), (300, 1000)] {
        let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
        let source = pair.near.outgoing(rig, 1000)?;
        let target = pair.far.incoming(rig, 1100)?;
        source.fill(rig, 5)?;
        pair.far.receive(rig, 1, target.sge(50, room))?;
        pair.near.post(rig, &[send(2, &[source.sge(0, len)])])?;
        let got = pair.far.received(rig)?;
        equal("the receive was too short", (got.wr_id, got.status), (1, WcStatus::LocalLength))?;
        pair.near.sent_ill(rig, 2, WcStatus::RemoteInvalidRequest)?;
        pair.near.becomes(rig, QpState::Error)?;
        pair.far.becomes(rig, QpState::Error)?;
        target.is_zero(rig, 0, 50)?;
        target.is_zero(rig, 50 + room, 1100 - 50 - room)?;
    }
    Ok(())
}

fn in_order<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 4096)?;
    let target = pair.far.incoming(rig, 32 * 1024)?;
    source.fill(rig, 6)?;
    let len = |n: usize| (n * 197) % 1024;
    for round in 0..4_usize {
        target.zero(rig)?;
        for n in 0..32 {
            pair.far.receive(rig, n as u64, target.sge(n * 1024, 1024))?;
        }
        for n in 0..32 {
            pair.near.post(rig, &[send(n as u64, &[source.sge(n * 7 + round, len(n))])])?;
        }
        for n in 0..32 {
            pair.far.received_well(rig, n as u64, len(n))?;
            target.is_pattern(rig, n * 1024, len(n), 6, n * 7 + round)?;
            target.is_zero(rig, n * 1024 + len(n), 1024 - len(n))?;
        }
        for n in 0..32 {
            pair.near.sent_well(rig, n, WcOpcode::Send)?;
        }
    }
    Ok(())
}

fn both_ways<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let ways = [(pair.near, pair.far, 7), (pair.far, pair.near, 8)];
    let mut targets = alloc::vec::Vec::new();
    for (from, to, stream) in ways {
        let source = from.outgoing(rig, 1000)?;
        let target = to.incoming(rig, 20_000)?;
        source.fill(rig, stream)?;
        targets.push(target);
        for n in 0..20 {
            to.receive(rig, n, target.sge(n as usize * 1000, 1000))?;
            from.post(rig, &[send(n, &[source.sge(0, 1000)])])?;
        }
    }
    for ((from, to, stream), target) in ways.into_iter().zip(targets) {
        for n in 0..20 {
            to.received_well(rig, n, 1000)?;
            from.sent_well(rig, n, WcOpcode::Send)?;
            target.is_pattern(rig, n as usize * 1000, 1000, stream, 0)?;
        }
    }
    Ok(())
}
