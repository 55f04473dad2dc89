//! RDMA WRITE, with immediate and without.

use smolsmc_wire::{MtuCode, Rkey};

use super::bench::{Done, Pair, Region, Wanted, pattern, request, send, stays_empty, unsignalled, write};
use super::failure::equal;
use super::send::mtus;
use super::{Case, Rig, Side, list};
use crate::{
    Payload, Provider, QpCapabilities, QpState, SendOperation, SendRequest, Sge, WcOpcode, WcStatus,
};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "write: sizes around every MTU" sizes;
        Any "write: up to 1 MiB" large;
        Any "write: to every alignment, up to the very end" alignment;
        Any "write: gathered and inline" gathered;
        Any "write: no octets need no key" no_octets;
        Any "write: the peer is not told" silent;
        Any "write: later ones win, data before word" ordered;
        Any "write: with immediate, a receive tells" [WriteWithImmediate] immediate;
        Any "write: with immediate, the receive's memory stays" [WriteWithImmediate] immediate_keeps;
        Any "write: both directions at once" both_ways;
    ]
}

fn sizes<R: Rig>(rig: &mut R) -> Done {
    for (mtu, octets) in mtus(rig)? {
        let pair = Pair::new(rig, &Wanted { mtu, ..Wanted::default() })?;
        let room = 5 * octets;
        let source = pair.near.outgoing(rig, room)?;
        let target = pair.far.incoming(rig, room + 64)?;
        source.fill(rig, 5)?;
        for len in [0, 1, 2, 3, octets - 1, octets, octets + 1, 2 * octets, 3 * octets + 5, room] {
            target.zero(rig)?;
            pair.near.post(rig, &[write(len as u64, &[source.sge(0, len)], &target, 32)])?;
            pair.near.sent_well(rig, len as u64, WcOpcode::Write)?;
            target.is_only_pattern(rig, 32, len, 5)?;
        }
    }
    Ok(())
}

fn large<R: Rig>(rig: &mut R) -> Done {
    const MIB: usize = 1 << 20;
    let mtu = mtus(rig)?.map(|(code, _)| code).last().unwrap_or(MtuCode::OCTETS_256);
    for mtu in [MtuCode::OCTETS_1024.min(mtu), mtu] {
        let pair = Pair::new(rig, &Wanted { mtu, ..Wanted::default() })?;
        let source = pair.near.outgoing(rig, MIB)?;
        let target = pair.far.incoming(rig, MIB + 200)?;
        source.fill(rig, 5)?;
        for len in [65_536, 300_001, MIB] {
            target.zero(rig)?;
            pair.near.post(rig, &[write(1, &[source.sge(0, len)], &target, 100)])?;
            pair.near.sent_well(rig, 1, WcOpcode::Write)?;
            target.is_only_pattern(rig, 100, len, 5)?;
        }
    }
    Ok(())
}

fn alignment<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    source.fill(rig, 5)?;
    for offset in [0, 1, 2, 3, 4, 5, 6, 7, 63, 489] {
        for from in [0, 1, 3] {
            target.zero(rig)?;
            pair.near.post(rig, &[write(1, &[source.sge(from, 511)], &target, offset)])?;
            pair.near.sent_well(rig, 1, WcOpcode::Write)?;
            target.is_zero(rig, 0, offset)?;
            target.is_pattern(rig, offset, 511, 5, from)?;
            target.is_zero(rig, offset + 511, 1000 - offset - 511)?;
        }
    }
    Ok(())
}

fn gathered<R: Rig>(rig: &mut R) -> Done {
    let port = rig.port(Side::Near, 0);
    let inline = rig.nic(Side::Near).device(port.device)?.max_inline_data.min(100);
    let capabilities = QpCapabilities { max_inline_data: inline, ..Wanted::default().capabilities };
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, capabilities, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    source.fill(rig, 5)?;
    let sges: [Sge; 4] = [source.sge(0, 1), source.sge(1, 300), source.sge(301, 0), source.sge(301, 599)];
    pair.near.post(rig, &[write(1, &sges, &target, 7)])?;
    pair.near.sent_well(rig, 1, WcOpcode::Write)?;
    target.is_only_pattern(rig, 7, 900, 5)?;

    target.zero(rig)?;
    let mut octets = [0; 100];
    for (n, octet) in octets.iter_mut().enumerate() {
        *octet = pattern(6, n);
    }
    let payload = Payload::Inline(octets.get(..inline as usize).unwrap_or(&[]));
    pair.near.post(rig, &[SendRequest { payload, ..write(2, &[], &target, 7) }])?;
    octets.fill(0);
    pair.near.sent_well(rig, 2, WcOpcode::Write)?;
    target.is_only_pattern(rig, 7, inline as usize, 6)
}

/// Key and address of a WRITE without octets are not looked at (IBTA §9.7.4.1).
fn no_octets<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let nowhere = SendOperation::Write { remote_addr: 0xdead_beef, rkey: Rkey(0x0bad_cafe) };
    pair.near.post(rig, &[request(1, nowhere, &[])])?;
    pair.near.sent_well(rig, 1, WcOpcode::Write)?;
    pair.talks(rig)
}

fn silent<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.far.incoming(rig, 200)?;
    pair.far.receive(rig, 1, target.sge(100, 100))?;
    pair.near.post(rig, &[write(2, &[source.sge(0, 100)], &target, 0)])?;
    pair.near.sent_well(rig, 2, WcOpcode::Write)?;
    stays_empty(rig, Side::Far, pair.far.recv_cq)?;
    equal("the receive is still there", rig.nic(Side::Far).qp(pair.far.qp)?.recv_posted, 1)
}

/// The order SMC-R lives on: what was written before a SEND is there when its
/// receive completes, and of two WRITEs to one place the later one stays.
fn ordered<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let target = pair.far.incoming(rig, 4096)?;
    let word = pair.far.incoming(rig, 44)?;
    let sources = [pair.near.outgoing(rig, 3000)?, pair.near.outgoing(rig, 3000)?];
    for (stream, source) in sources.iter().enumerate() {
        source.fill(rig, stream as u32)?;
    }
    for round in 0..12_u64 {
        pair.far.receive(rig, round, word.sge(0, 44))?;
        let [even, odd] = sources;
        let (first, last, stream) = if round % 2 == 0 { (even, odd, 1) } else { (odd, even, 0) };
        let (one, two, three) = ([first.sge(0, 3000)], [last.sge(0, 3000)], [last.sge(0, 44)]);
        let list = [
            unsignalled(write(0, &one, &target, 11)),
            unsignalled(write(0, &two, &target, 11)),
            send(round, &three),
        ];
        pair.near.post(rig, &list)?;
        pair.far.received_well(rig, round, 44)?;
        target.is_only_pattern(rig, 11, 3000, stream)?;
        pair.near.sent_well(rig, round, WcOpcode::Send)?;
    }
    Ok(())
}

fn with_immediate<'a>(wr_id: u64, sges: &'a [Sge], target: &Region, immediate: [u8; 4]) -> SendRequest<'a> {
    let (remote_addr, rkey) = (target.at(0), target.keys.rkey);
    request(wr_id, SendOperation::WriteWithImmediate { remote_addr, rkey, immediate }, sges)
}

fn immediate<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted { mtu: MtuCode::OCTETS_256, ..Wanted::default() })?;
    let source = pair.near.outgoing(rig, 1000)?;
    let target = pair.far.incoming(rig, 1000)?;
    source.fill(rig, 5)?;
    for (wr_id, len) in [0, 1, 255, 256, 257, 1000].into_iter().enumerate() {
        let immediate = [0xa0, wr_id as u8, 0x5a, 0xff];
        let wr_id = wr_id as u64;
        target.zero(rig)?;
        pair.far.receive_into(rig, wr_id, &[])?;
        let sges = [source.sge(0, len)];
        pair.near.post(rig, &[with_immediate(wr_id, &sges, &target, immediate)])?;
        let got = pair.far.received(rig)?;
        equal("the receive succeeds", (got.wr_id, got.status), (wr_id, WcStatus::Success))?;
        equal("it says of what", got.opcode, WcOpcode::ReceiveWriteWithImmediate)?;
        equal("the immediate is as it was", got.immediate, Some(immediate))?;
        equal("and so is the length", got.byte_len as usize, len)?;
        target.is_only_pattern(rig, 0, len, 5)?;
        pair.near.sent_well(rig, wr_id, WcOpcode::Write)?;
    }
    equal("no receive is left", rig.nic(Side::Far).qp(pair.far.qp)?.recv_posted, 0)
}

fn immediate_keeps<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    let target = pair.far.incoming(rig, 100)?;
    let unused = pair.far.incoming(rig, 100)?;
    source.fill(rig, 5)?;
    pair.far.receive(rig, 1, unused.sge(0, 100))?;
    let sges = [source.sge(0, 100)];
    pair.near.post(rig, &[with_immediate(1, &sges, &target, [1, 2, 3, 4])])?;
    equal("the immediate came", pair.far.received(rig)?.immediate, Some([1, 2, 3, 4]))?;
    unused.is_zero(rig, 0, 100)?;
    target.is_pattern(rig, 0, 100, 5, 0)?;
    equal("both live on", (pair.near.state(rig)?, pair.far.state(rig)?), {
        (QpState::ReadyToSend, QpState::ReadyToSend)
    })
}

fn both_ways<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let ways = [(pair.near, pair.far, 7), (pair.far, pair.near, 8)];
    let mut targets = alloc::vec::Vec::new();
    for (from, to, stream) in ways {
        let source = from.outgoing(rig, 50_000)?;
        let target = to.incoming(rig, 60_000)?;
        source.fill(rig, stream)?;
        from.post(rig, &[write(stream.into(), &[source.sge(0, 50_000)], &target, 5000)])?;
        targets.push(target);
    }
    for ((from, _, stream), target) in ways.into_iter().zip(targets) {
        from.sent_well(rig, stream.into(), WcOpcode::Write)?;
        target.is_only_pattern(rig, 5000, 50_000, stream)?;
    }
    Ok(())
}
