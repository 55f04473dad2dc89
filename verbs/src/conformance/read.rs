//! RDMA READ.

use smolsmc_wire::{MtuCode, Psn, Rkey};

use super::bench::{Done, Pair, Wanted, read, request, send, unsignalled, write};
use super::failure::equal;
use super::send::mtus;
use super::{Case, Rig, list};
use crate::{SendOperation, WcOpcode};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "read: sizes around every MTU" [Read] sizes;
        Any "read: up to 1 MiB" [Read] large;
        Any "read: scattered over several elements" [Read] scattered;
        Any "read: no octets need no key" [Read] no_octets;
        Any "read: more at once than may be outstanding" [Read] many;
        Any "read: sees the WRITE before it" [Read] after_write;
        Any "read: its PSNs are counted" [Read] counted;
    ]
}

fn sizes<R: Rig>(rig: &mut R) -> Done {
    for (mtu, octets) in mtus(rig)? {
        let pair = Pair::new(rig, &Wanted { mtu, ..Wanted::default() })?;
        let room = 5 * octets;
        let source = pair.far.outgoing(rig, room)?;
        let target = pair.near.incoming(rig, room + 64)?;
        source.fill(rig, 5)?;
        for len in [0, 1, 2, 3, octets - 1, octets, octets + 1, 3 * octets + 5, room] {
            target.zero(rig)?;
            pair.near.post(rig, &[read(len as u64, &[target.sge(32, len)], &source, 0)])?;
            let got = pair.near.sent(rig)?;
            equal("the READ succeeds", (got.wr_id, got.status), (len as u64, crate::WcStatus::Success))?;
            equal("it is told as what it is", got.opcode, WcOpcode::Read)?;
            equal("its length is told", got.byte_len as usize, len)?;
            target.is_only_pattern(rig, 32, len, 5)?;
        }
    }
    Ok(())
}

fn large<R: Rig>(rig: &mut R) -> Done {
    const MIB: usize = 1 << 20;
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.far.outgoing(rig, MIB)?;
    let target = pair.near.incoming(rig, MIB + 200)?;
    source.fill(rig, 5)?;
    for len in [65_537, MIB] {
        target.zero(rig)?;
        pair.near.post(rig, &[read(1, &[target.sge(100, len)], &source, 0)])?;
        pair.near.sent_well(rig, 1, WcOpcode::Read)?;
        target.is_only_pattern(rig, 100, len, 5)?;
    }
    Ok(())
}

fn scattered<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.far.outgoing(rig, 1000)?;
    let target = pair.near.incoming(rig, 1200)?;
    source.fill(rig, 5)?;
    let sges = [target.sge(900, 10), target.sge(100, 300), target.sge(0, 0), target.sge(500, 390)];
    pair.near.post(rig, &[read(1, &sges, &source, 300)])?;
    pair.near.sent_well(rig, 1, WcOpcode::Read)?;
    target.is_pattern(rig, 900, 10, 5, 300)?;
    target.is_pattern(rig, 100, 300, 5, 310)?;
    target.is_pattern(rig, 500, 390, 5, 610)?;
    let touched = target.octets(rig, 0, 1200)?.iter().filter(|octet| **octet != 0).count();
    equal("and nothing else was touched", touched, 700)
}

fn no_octets<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let nowhere = SendOperation::Read { remote_addr: 0xdead_beef, rkey: Rkey(0x0bad_cafe) };
    pair.near.post(rig, &[request(1, nowhere, &[])])?;
    pair.near.sent_well(rig, 1, WcOpcode::Read)?;
    pair.talks(rig)
}

fn many<R: Rig>(rig: &mut R) -> Done {
    for rd_atomic in [1, 2] {
        let wanted = Wanted { rd_atomic, mtu: MtuCode::OCTETS_256, ..Wanted::default() };
        let pair = Pair::new(rig, &wanted)?;
        let source = pair.far.outgoing(rig, 1000)?;
        let target = pair.near.incoming(rig, 20_000)?;
        source.fill(rig, 5)?;
        for n in 0..20_usize {
            pair.near.post(rig, &[read(n as u64, &[target.sge(n * 1000, 700)], &source, n)])?;
        }
        for n in 0..20_usize {
            pair.near.sent_well(rig, n as u64, WcOpcode::Read)?;
            target.is_pattern(rig, n * 1000, 700, 5, n)?;
            target.is_zero(rig, n * 1000 + 700, 300)?;
        }
    }
    Ok(())
}

fn after_write<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let there = pair.far.incoming(rig, 1000)?;
    let back = pair.near.incoming(rig, 1000)?;
    for round in 0..5 {
        source.fill(rig, round)?;
        let (out, into) = ([source.sge(0, 1000)], [back.sge(0, 1000)]);
        pair.near.post(rig, &[unsignalled(write(1, &out, &there, 0)), read(2, &into, &there, 0)])?;
        pair.near.sent_well(rig, 2, WcOpcode::Read)?;
        back.is_pattern(rig, 0, 1000, round, 0)?;
    }
    Ok(())
}

/// A READ takes as many PSNs as its answer has packets; what follows must
/// start right after, also across the wrap.
fn counted<R: Rig>(rig: &mut R) -> Done {
    for before_wrap in 0..6 {
        let psn = [Psn::MAX.sub(before_wrap), Psn::new(0)];
        let pair = Pair::new(rig, &Wanted { psn, mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
        let source = pair.far.outgoing(rig, 1000)?;
        let target = pair.near.incoming(rig, 1000)?;
        let (ours, theirs) = (pair.near.outgoing(rig, 100)?, pair.far.incoming(rig, 100)?);
        source.fill(rig, 5)?;
        ours.fill(rig, 6)?;
        pair.far.receive(rig, 1, theirs.sge(0, 100))?;
        let (into, out) = ([target.sge(0, 1000)], [ours.sge(0, 100)]);
        pair.near.post(rig, &[read(1, &into, &source, 0), send(2, &out)])?;
        pair.near.sent_well(rig, 1, WcOpcode::Read)?;
        pair.near.sent_well(rig, 2, WcOpcode::Send)?;
        pair.far.received_well(rig, 1, 100)?;
        target.is_pattern(rig, 0, 1000, 5, 0)?;
        theirs.is_pattern(rig, 0, 100, 6, 0)?;
        pair.talks(rig)?;
    }
    Ok(())
}
