//! Keys and ranges: who may touch what, and what is said to the others.

use super::*;
use smolsmc_wire::Rkey;

#[test]
fn only_the_right_key_reaches_only_its_range() {
    let len = LEN as u64;
    // Offset, change of the key, whether that reaches.
    let cases = [
        (0, 0, true),
        (len - 4, 0, true),
        (len - 3, 0, false),
        (len, 0, false),
        (0_u64.wrapping_sub(1), 0, false),
        (0_u64.wrapping_sub(4), 0, false),
        (1 << 63, 0, false),
        (0, 1, false),
        (0, 0x8000_0000, false),
        (0, 0x100, false),
    ];
    for (offset, key_change, fine) in cases {
        let mut pair = Pair::usual();
        let mr = pair.sides[1].into_mr;
        let mr = MrAttributes { rkey: Rkey(mr.rkey.0 ^ key_change), ..mr };
        writes_four(&mut pair, mr, offset, fine);
    }
}

#[test]
fn a_key_of_another_protection_domain_reaches_nothing() {
    let mut pair = Pair::usual();
    let side = &mut pair.sides[1];
    let pd = side.nic.alloc_pd(DeviceId(0)).unwrap();
    let mr = side.nic.register(pd, side.into, ALL).unwrap();
    let mr = side.nic.mr(mr).unwrap();
    writes_four(&mut pair, mr, 0, false);
}

#[test]
fn a_local_key_reaches_nothing_from_afar() {
    let mut pair = Pair::usual();
    let mr = pair.sides[1].into_mr;
    writes_four(&mut pair, MrAttributes { rkey: Rkey(mr.lkey.0), ..mr }, 0, false);
}

/// Writes four octets at `offset`; they arrive, or a NAK says why not.
fn writes_four(pair: &mut Pair, mr: MrAttributes, offset: u64, fine: bool) {
    let reth = Reth { vaddr: mr.iova.wrapping_add(offset), rkey: mr.rkey, dma_len: 4 };
    let frame = pair.request(Opcode::WRITE_ONLY, 0, Ext::Reth(reth), &[9; 4]);
    let answers = answer_to(pair, &frame);
    assert_eq!(syndromes(&answers), [if fine { 0x1f } else { 0x62 }], "{reth:?}");
    let written = pair.sides[1].incoming(0, LEN).iter().filter(|octet| **octet != 0).count();
    assert_eq!(written, if fine { 4 } else { 0 }, "{reth:?}");
    let state = if fine { QpState::ReadyToSend } else { QpState::Error };
    assert_eq!(pair.sides[1].state(), state);
    assert_eq!(pair.sides[1].nic.counters().naks_sent.access, u64::from(!fine));
}

#[test]
fn only_the_rights_of_a_registration_are_given() {
    for (access, opcode, fine) in [
        (LOCAL, Opcode::WRITE_ONLY, false),
        (LOCAL | Access::REMOTE_READ, Opcode::WRITE_ONLY, false),
        (LOCAL | Access::REMOTE_WRITE, Opcode::WRITE_ONLY, true),
        (LOCAL | Access::REMOTE_WRITE, Opcode::READ_REQUEST, false),
        (Access::REMOTE_READ, Opcode::READ_REQUEST, true),
    ] {
        let mut pair = Pair::usual();
        let side = &mut pair.sides[1];
        let mr = side.nic.register(side.pd, side.into, access).unwrap();
        let mr = side.nic.mr(mr).unwrap();
        let ext = Ext::Reth(Reth { vaddr: mr.iova, rkey: mr.rkey, dma_len: 4 });
        let payload: &[u8] = if opcode == Opcode::READ_REQUEST { &[] } else { &[1; 4] };
        let frame = pair.request(opcode, 0, ext, payload);
        let answers = answer_to(&mut pair, &frame);
        assert_eq!(syndromes(&answers), [if fine { 0x1f } else { 0x62 }], "{access:?} {opcode}");
    }
}

#[test]
fn a_write_of_nothing_needs_no_key() {
    let mut pair = Pair::usual();
    let ext = Ext::Reth(Reth { vaddr: 1, rkey: Rkey(1), dma_len: 0 });
    let frame = pair.request(Opcode::WRITE_ONLY, 0, ext, &[]);
    assert_eq!(syndromes(&answer_to(&mut pair, &frame)), [0x1f]);
    let frame = pair.request(Opcode::READ_REQUEST, 1, ext, &[]);
    assert_eq!(syndromes(&answer_to(&mut pair, &frame)), [0x1f]);
}

#[test]
fn a_deregistered_key_reaches_nothing_even_in_mid_message() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 600), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    let frames = pair.collect(0);
    pair.deliver(1, &frames[0]);
    let mr = pair.sides[1].into_handle;
    pair.sides[1].nic.deregister(mr).unwrap();
    pair.deliver(1, &frames[1]);
    assert_eq!(pair.sides[1].incoming(256, 256), [0; 256]);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RemoteAccess)]);
    assert_eq!(pair.sides[0].nic.counters().naks_received.access, 1);
}

#[test]
fn a_write_with_immediate_to_a_wrong_key_takes_its_receive_along() {
    let mut pair = Pair::usual();
    pair.sides[1].receive(0, &[]);
    pair.sides[1].receive(1, &[]);
    let op = SendOperation::WriteWithImmediate { remote_addr: 0, rkey: Rkey(5), immediate: [0; 4] };
    let from = pair.sides[0].from(0, 4);
    pair.sides[0].post(3, op, &[from]);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(3, WcStatus::RemoteAccess)]);
    assert_eq!(pair.sides[1].received(), [(0, WcStatus::LocalAccess, 0), (1, WcStatus::Flushed, 0)]);
}

#[test]
fn a_read_whose_registration_ends_is_refused() {
    let mut pair = Pair::usual();
    let side = &mut pair.sides[1];
    let handle = side.nic.register(side.pd, side.out, Access::REMOTE_READ).unwrap();
    let mr = side.nic.mr(handle).unwrap();
    let to = pair.sides[0].to(0, 600);
    let op = SendOperation::Read { remote_addr: mr.iova, rkey: mr.rkey };
    pair.sides[0].post(1, op, &[to]);
    let request = pair.collect(0).remove(0);
    pair.deliver(1, &request);
    let first = pair.sides[1].emit(pair.now).unwrap();
    pair.deliver(0, &first);
    pair.sides[1].nic.deregister(handle).unwrap();
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RemoteAccess)]);
    assert_eq!(pair.sides[1].state(), QpState::Error);
}

#[test]
fn more_reads_than_granted_are_refused() {
    let mut pair = Pair::new(Setup { reads: 2, ..SETUP });
    for ahead in 0..3 {
        let mr = pair.sides[1].out_mr;
        let ext = Ext::Reth(Reth { vaddr: mr.iova, rkey: mr.rkey, dma_len: 4 });
        let frame = pair.request(Opcode::READ_REQUEST, ahead, ext, &[]);
        pair.deliver(1, &frame);
    }
    let answers: Vec<_> = pair.collect(1).iter().map(|frame| pair.seen_as(1, frame)).collect();
    assert_eq!(syndromes(&answers), [0x1f, 0x1f, 0x61], "two are answered, the third is one too many");
}

#[test]
fn repeated_reads_are_answered_again_and_make_way_for_new_ones() {
    let mut pair = Pair::new(Setup { reads: 1, ..SETUP });
    let mr = pair.sides[1].out_mr;
    let ext = |n: u64| Ext::Reth(Reth { vaddr: mr.iova + n, rkey: mr.rkey, dma_len: 4 });
    let frames: Vec<_> =
        (0..3).map(|n| pair.request(Opcode::READ_REQUEST, n, ext(u64::from(n)), &[])).collect();
    for frame in &frames[..2] {
        assert_eq!(answer_to(&mut pair, frame).len(), 1);
    }
    let again = answer_to(&mut pair, &frames[0]);
    assert_eq!((again[0].opcode, again[0].psn), (Opcode::READ_RESPONSE_ONLY, 0));
    // A copy that waits, then a new one: the new one counts.
    pair.deliver(1, &frames[1]);
    pair.deliver(1, &frames[0]);
    let answers = answer_to(&mut pair, &frames[2]);
    assert_eq!(answers.iter().map(|seen| seen.psn).collect::<Vec<_>>(), [2]);
    assert_eq!(dropped(&pair, 1).repeated_read, 1, "the second copy found no room");
    // A copy longer than what was asked then is none.
    let longer = Ext::Reth(Reth { vaddr: mr.iova, rkey: mr.rkey, dma_len: 256 * 9 });
    let frame = pair.request(Opcode::READ_REQUEST, 0, longer, &[]);
    assert_eq!(answer_to(&mut pair, &frame).len(), 0);
    assert_eq!(dropped(&pair, 1).repeated_read, 2);
}

#[test]
fn a_refusal_comes_after_the_read_responses_before_it() {
    let mut pair = Pair::usual();
    let (to, read, from) = (pair.sides[0].to(0, 600), pair.read_op(0), pair.sides[0].from(0, 4));
    pair.sides[0].post(1, read, &[to]);
    pair.sides[0].post(2, SendOperation::Write { remote_addr: 0, rkey: Rkey(1) }, &[from]);
    for frame in pair.collect(0) {
        pair.deliver(1, &frame);
    }
    assert_eq!(pair.sides[1].state(), QpState::Error);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success), (2, WcStatus::RemoteAccess)]);
    assert_eq!(pair.sides[0].incoming(0, 600), patterns(0, 600));
}

#[test]
fn a_read_dressed_as_a_repetition_needs_the_right_too() {
    let mut pair = Pair::new(Setup { access: Access::REMOTE_WRITE, ..SETUP });
    let write = pair.request(Opcode::WRITE_ONLY, 0, reth(&pair, 0, 4), &[1; 4]);
    assert_eq!(syndromes(&answer_to(&mut pair, &write)), [0x1f]);
    let mr = pair.sides[1].out_mr;
    let ext = Ext::Reth(Reth { vaddr: mr.iova, rkey: mr.rkey, dma_len: 4 });
    let read = pair.request(Opcode::READ_REQUEST, 0, ext, &[]);
    assert_eq!(answer_to(&mut pair, &read), []);
    assert_eq!(pair.sides[1].nic.counters().dropped.repeated_read, 1);
}
