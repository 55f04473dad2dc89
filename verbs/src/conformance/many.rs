//! Many queue pairs at once, each with data of its own.

use alloc::vec::Vec;

use smolsmc_wire::MtuCode;

use super::bench::{Done, Pair, Region, Wanted, send, unsignalled, write};
use super::{Case, Rig, Side, list};
use crate::{Provider, QpCapabilities, WcOpcode};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "many: queue pairs at once, each its own data" queue_pairs;
        Any "many: made and destroyed, over and over" over_and_over;
        Any "many: both devices at once" [SecondDevice] devices;
    ]
}

const OCTETS: usize = 3000;

/// Data and a word after it, in both directions of all pairs at once.
fn all_at_once<R: Rig>(rig: &mut R, pairs: &[Pair]) -> Done {
    let mut ways: Vec<(Pair, u32, [Region; 4])> = Vec::new();
    for (n, pair) in (0_u32..).zip(pairs) {
        for (stream, pair) in [(2 * n, *pair), (2 * n + 1, Pair { near: pair.far, far: pair.near })] {
            let source = pair.near.outgoing(rig, OCTETS)?;
            let target = pair.far.incoming(rig, OCTETS)?;
            let word = pair.near.outgoing(rig, 44)?;
            let slot = pair.far.incoming(rig, 44)?;
            source.fill(rig, stream)?;
            word.fill(rig, stream + 1000)?;
            pair.far.receive(rig, stream.into(), slot.sge(0, 44))?;
            ways.push((pair, stream, [source, target, word, slot]));
        }
    }
    for (pair, stream, [source, target, word, _]) in &ways {
        let (data, short) = ([source.sge(0, OCTETS)], [word.sge(0, 44)]);
        pair.near.post(rig, &[unsignalled(write(0, &data, target, 0)), send((*stream).into(), &short)])?;
    }
    for (pair, stream, [_, target, _, slot]) in &ways {
        pair.far.received_well(rig, (*stream).into(), 44)?;
        target.is_pattern(rig, 0, OCTETS, *stream, 0)?;
        slot.is_pattern(rig, 0, 44, *stream + 1000, 0)?;
        pair.near.sent_well(rig, (*stream).into(), WcOpcode::Send)?;
    }
    Ok(())
}

fn small() -> Wanted {
    let capabilities = QpCapabilities { max_send_wr: 4, max_recv_wr: 4, ..Wanted::default().capabilities };
    Wanted { capabilities, ..Wanted::default() }
}

fn queue_pairs<R: Rig>(rig: &mut R) -> Done {
    let device = rig.port(Side::Near, 0).device;
    let most = rig.nic(Side::Near).device(device)?.max_qp.min(32);
    let mut pairs = Vec::new();
    for n in 0..most {
        let mtu = if n % 2 == 0 { MtuCode::OCTETS_256 } else { MtuCode::OCTETS_1024 };
        pairs.push(Pair::new(rig, &Wanted { mtu, ..small() })?);
    }
    all_at_once(rig, &pairs)
}

fn over_and_over<R: Rig>(rig: &mut R) -> Done {
    let standing = Pair::new(rig, &small())?;
    for _ in 0..30 {
        let pair = Pair::new(rig, &small())?;
        pair.talks(rig)?;
        for end in [pair.near, pair.far] {
            let nic = rig.nic(end.side);
            nic.destroy_qp(end.qp)?;
            nic.destroy_cq(end.send_cq)?;
            nic.destroy_cq(end.recv_cq)?;
        }
    }
    standing.talks(rig)
}

fn devices<R: Rig>(rig: &mut R) -> Done {
    let mut pairs = Vec::new();
    for index in [0, 1, 0, 1] {
        pairs.push(Pair::new(rig, &Wanted { index, ..small() })?);
    }
    all_at_once(rig, &pairs)
}
