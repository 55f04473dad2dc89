//! Memory: who may write it, and what its views show.

use alloc::vec::Vec;

use super::bench::{Done, End, OPEN, Pair, Region, Wanted, write};
use super::failure::{equal, holds, refused};
use super::{Case, Disturbance, Rig, Side, list};
use crate::{Access, MemoryUse, Provider, RemoteSpan, VerbsError, WcOpcode};

pub(super) fn cases<R: Rig>() -> impl IntoIterator<Item = Case<R>> {
    list![
        Any "memory: it comes zeroed and page aligned" fresh;
        Any "memory: only outgoing memory is filled by us" uses;
        Any "memory: rights must fit the use" rights;
        Any "memory: no view beyond the end" bounds;
        Any "memory: a span is copied from any offset" span;
        Any "memory: zero wipes exactly what it is told" zero;
        Any "memory: keys of registrations differ" keys;
        Any "memory: registered twice, each registration lives alone" twice;
        Any "memory: a refused registration leaves nothing behind" [RegistrationRefusal] refusal;
        Any "memory: one memory on two devices, written through either" [SecondDevice] two_devices;
    ]
}

fn out_of_range(error: &VerbsError) -> bool {
    matches!(error, VerbsError::OutOfRange(_))
}

fn access(error: &VerbsError) -> bool {
    *error == VerbsError::Access
}

fn fresh<R: Rig>(rig: &mut R) -> Done {
    let nic = rig.nic(Side::Near);
    for used_for in [MemoryUse::Outgoing, MemoryUse::Incoming] {
        for len in [1, 44, 4095, 4096, 4097, 65536] {
            let memory = nic.alloc_memory(len, used_for)?;
            let span = nic.incoming(memory, 0, len)?;
            equal("it is page aligned", span.as_ptr() as usize % 4096, 0)?;
            let mut octets = alloc::vec![0xaa; len];
            equal("it can be copied whole", span.copy_to(0, &mut octets), len)?;
            holds("it is zeroed", octets.iter().all(|octet| *octet == 0))?;
        }
        refused("no octets are no memory", nic.alloc_memory(0, used_for), out_of_range)?;
    }
    // What a former owner wrote must not show.
    let used = nic.alloc_memory(4096, MemoryUse::Outgoing)?;
    nic.outgoing(used, 0, 4096)?.fill(0x55);
    nic.free_memory(used)?;
    let again = nic.alloc_memory(4096, MemoryUse::Incoming)?;
    let mut octets = [0xaa; 4096];
    nic.incoming(again, 0, 4096)?.copy_to(0, &mut octets);
    holds("memory used again is zeroed", octets.iter().all(|octet| *octet == 0))
}

fn uses<R: Rig>(rig: &mut R) -> Done {
    let nic = rig.nic(Side::Near);
    let ours = nic.alloc_memory(100, MemoryUse::Outgoing)?;
    let theirs = nic.alloc_memory(100, MemoryUse::Incoming)?;
    nic.outgoing(ours, 10, 5)?.copy_from_slice(b"hello");
    let mut octets = [0; 7];
    equal("what we wrote can be seen", nic.incoming(ours, 9, 7)?.copy_to(0, &mut octets), 7)?;
    equal("and is where we wrote it", &octets, b"\0hello\0")?;
    refused("theirs is never lent to us", nic.outgoing(theirs, 0, 1).map(|_| ()), access)
}

fn rights<R: Rig>(rig: &mut R) -> Done {
    let end = End::new(rig, Side::Near, &Wanted::default())?;
    let nic = rig.nic(Side::Near);
    let ours = nic.alloc_memory(100, MemoryUse::Outgoing)?;
    let theirs = nic.alloc_memory(100, MemoryUse::Incoming)?;
    let writing = [Access::LOCAL_WRITE, Access::LOCAL_WRITE | Access::REMOTE_WRITE, OPEN];
    for rights in writing {
        refused("no right to write ours", nic.register(end.pd, ours, rights), access)?;
        nic.register(end.pd, theirs, rights)?;
    }
    for rights in [Access::empty(), Access::REMOTE_READ] {
        nic.register(end.pd, ours, rights)?;
        nic.register(end.pd, theirs, rights)?;
    }
    for rights in [Access::REMOTE_WRITE, Access::REMOTE_WRITE | Access::REMOTE_READ] {
        refused("remote write asks for local write", nic.register(end.pd, theirs, rights), access)?;
        refused("remote write to ours", nic.register(end.pd, ours, rights), access)?;
    }
    Ok(())
}

fn bounds<R: Rig>(rig: &mut R) -> Done {
    let nic = rig.nic(Side::Near);
    let memory = nic.alloc_memory(100, MemoryUse::Outgoing)?;
    for (offset, len) in [(0, 101), (100, 1), (101, 0), (1, 100), (usize::MAX, 2), (2, usize::MAX)] {
        refused("outgoing", nic.outgoing(memory, offset, len).map(|_| ()), out_of_range)?;
        refused("incoming", nic.incoming(memory, offset, len).map(|_| ()), out_of_range)?;
        refused("zero", nic.zero(memory, offset, len), out_of_range)?;
    }
    for (offset, len) in [(0, 100), (100, 0), (99, 1), (0, 0)] {
        equal("outgoing is as long as asked", nic.outgoing(memory, offset, len)?.len(), len)?;
        {
            let span = nic.incoming(memory, offset, len)?;
            equal("incoming is as long as asked", (span.len(), span.is_empty()), (len, len == 0))?;
        }
        nic.zero(memory, offset, len)?;
    }
    Ok(())
}

fn span<R: Rig>(rig: &mut R) -> Done {
    let nic = rig.nic(Side::Near);
    let memory = nic.alloc_memory(300, MemoryUse::Outgoing)?;
    for (n, octet) in nic.outgoing(memory, 0, 300)?.iter_mut().enumerate() {
        *octet = n as u8;
    }
    let span = nic.incoming(memory, 10, 100)?;
    for (offset, room, expected) in
        [(0, 100, 100), (0, 200, 100), (40, 20, 20), (99, 5, 1), (100, 5, 0), (500, 5, 0)]
    {
        let mut out = alloc::vec![0xee; room];
        equal("as many as fit and are there", span.copy_to(offset, &mut out), expected)?;
        let right: Vec<u8> =
            (0..room).map(|n| if n < expected { (10 + offset + n) as u8 } else { 0xee }).collect();
        equal("the right octets, and no others", out, right)?;
    }
    Ok(())
}

fn zero<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 5000)?;
    let target = pair.far.incoming(rig, 5000)?;
    source.fill(rig, 1)?;
    pair.near.post(rig, &[write(1, &[source.sge(0, 5000)], &target, 0)])?;
    pair.near.sent_well(rig, 1, WcOpcode::Write)?;
    rig.nic(Side::Far).zero(target.memory, 100, 4000)?;
    target.is_pattern(rig, 0, 100, 1, 0)?;
    target.is_zero(rig, 100, 4000)?;
    target.is_pattern(rig, 4100, 900, 1, 4100)?;
    rig.nic(Side::Near).zero(source.memory, 0, 1)?;
    source.is_zero(rig, 0, 1)?;
    source.is_pattern(rig, 1, 4999, 1, 1)
}

fn keys<R: Rig>(rig: &mut R) -> Done {
    let end = End::new(rig, Side::Near, &Wanted::default())?;
    let memory = rig.nic(Side::Near).alloc_memory(4096, MemoryUse::Incoming)?;
    let mut seen = Vec::new();
    for _ in 0..16 {
        let nic = rig.nic(Side::Near);
        let mr = nic.register(end.pd, memory, OPEN)?;
        let keys = nic.mr(mr)?;
        equal("the registration covers the memory", keys.len, 4096)?;
        holds("addresses do not wrap", keys.iova.checked_add(4096).is_some())?;
        holds("the rkey was not used before", !seen.contains(&keys.rkey))?;
        seen.push(keys.rkey);
        if seen.len() % 2 == 0 {
            nic.deregister(mr)?;
        }
    }
    Ok(())
}

fn twice<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    let source = pair.near.outgoing(rig, 100)?;
    source.fill(rig, 9)?;
    let one = pair.far.incoming(rig, 300)?;
    let nic = rig.nic(Side::Far);
    let mr = nic.register(pair.far.pd, one.memory, OPEN)?;
    let two = Region { mr, keys: nic.mr(mr)?, ..one };
    for (wr_id, through, offset) in [(1, one, 0), (2, two, 100)] {
        pair.near.post(rig, &[write(wr_id, &[source.sge(0, 100)], &through, offset)])?;
        pair.near.sent_well(rig, wr_id, WcOpcode::Write)?;
        one.is_pattern(rig, offset, 100, 9, 0)?;
    }
    rig.nic(Side::Far).deregister(one.mr)?;
    pair.near.post(rig, &[write(3, &[source.sge(0, 100)], &two, 200)])?;
    pair.near.sent_well(rig, 3, WcOpcode::Write)?;
    two.is_pattern(rig, 200, 100, 9, 0)
}

/// The registration that could not be made is retried, and those that were
/// there before do not notice.
fn refusal<R: Rig>(rig: &mut R) -> Done {
    let pair = Pair::new(rig, &Wanted::default())?;
    pair.talks(rig)?;
    let wanted = Wanted::default();
    let end = End::new(rig, Side::Far, &wanted)?;
    rig.disturb(Disturbance::RegistrationsRefused(Side::Far, 3));
    let nic = rig.nic(Side::Far);
    for used_for in [MemoryUse::Outgoing, MemoryUse::Incoming, MemoryUse::Incoming] {
        let memory = nic.alloc_memory(4096, used_for)?;
        let exhausted = |e: &VerbsError| matches!(e, VerbsError::Exhausted(_));
        refused("the registration", nic.register(end.pd, memory, Access::empty()), exhausted)?;
        nic.free_memory(memory)?;
    }
    nic.destroy_qp(end.qp)?;
    nic.dealloc_pd(end.pd)?;
    pair.talks(rig)?;
    let source = pair.near.outgoing(rig, 3000)?;
    let target = pair.far.incoming(rig, 3000)?;
    source.fill(rig, 5)?;
    pair.near.post(rig, &[write(1, &[source.sge(0, 3000)], &target, 0)])?;
    pair.near.sent_well(rig, 1, WcOpcode::Write)?;
    target.is_pattern(rig, 0, 3000, 5, 0)
}

fn two_devices<R: Rig>(rig: &mut R) -> Done {
    let first = Pair::new(rig, &Wanted::default())?;
    let second = Pair::new(rig, &Wanted { index: 1, ..Wanted::default() })?;
    let through_first = first.far.incoming(rig, 8192)?;
    let nic = rig.nic(Side::Far);
    let mr = nic.register(second.far.pd, through_first.memory, OPEN)?;
    let through_second = Region { mr, keys: nic.mr(mr)?, ..through_first };
    for (pair, target, offset, stream) in
        [(first, through_first, 0, 1), (second, through_second, 4096, 2), (first, through_first, 2048, 3)]
    {
        let source = pair.near.outgoing(rig, 2048)?;
        source.fill(rig, stream)?;
        pair.near.post(rig, &[write(1, &[source.sge(0, 2048)], &target, offset)])?;
        pair.near.sent_well(rig, 1, WcOpcode::Write)?;
        through_first.is_pattern(rig, offset, 2048, stream, 0)?;
    }
    through_first.is_pattern(rig, 0, 2048, 1, 0)?;
    through_first.is_zero(rig, 6144, 2048)?;
    // One device's keys mean nothing on the other.
    rig.nic(Side::Far).deregister(through_first.mr)?;
    let source = second.near.outgoing(rig, 100)?;
    source.fill(rig, 4)?;
    second.near.post(rig, &[write(2, &[source.sge(0, 100)], &through_second, 0)])?;
    second.near.sent_well(rig, 2, WcOpcode::Write)?;
    through_second.is_pattern(rig, 0, 100, 4, 0)
}
