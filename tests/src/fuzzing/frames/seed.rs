//! The other way round: input that makes the frames a capture goes on with.

use smolsmc_clc::Message;
use smolsmc_roce::packet::{Ext, Opcode};
use smolsmc_wire::{AlertToken, Rkey};

use super::super::world::World;
use super::{CAPTURES, as_cdc, captured, jump_to, operation, packet_of, parts};

/// Input for [`frames`](super::frames) that tells the first `prefix` frames of a
/// capture as they are and the next `count` as operations.
pub fn seed(capture: u8, prefix: u8, count: usize) -> Vec<u8> {
    assert!(usize::from(capture) < CAPTURES.len());
    let mut world = World::default();
    let mut out = vec![capture, prefix];
    for (index, (_, _, octets)) in captured(capture.into()).iter().enumerate() {
        if index >= usize::from(prefix) + count {
            break;
        }
        if index >= usize::from(prefix) {
            let made = of_segment(&mut world, octets).or_else(|| of_packet(&world, octets));
            out.extend(made.unwrap_or_else(|| op(operation::FRAME, 0, octets)));
        }
        world.learn(octets);
    }
    out
}

fn op(operation: u8, choice: usize, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    [&[operation, choice as u8], &len[..], payload].concat()
}

fn of_segment(world: &mut World, frame: &[u8]) -> Option<Vec<u8>> {
    let (ip, segment, payload) = parts(frame)?;
    if payload.is_empty() || segment[13] & 0x07 != 0 {
        return None;
    }
    let flow = *world.flow(&ip, segment);
    let choice = world.flows.iter().position(|known| *known == flow)?;
    if Message::parse(payload).is_err() {
        return Some(op(operation::TCP, choice, payload));
    }
    let body = [&[payload[4], payload[7]], &payload[8..payload.len() - 4]].concat();
    Some(op(operation::CLC, choice, &body))
}

fn of_packet(world: &World, frame: &[u8]) -> Option<Vec<u8>> {
    let packet = packet_of(frame)?;
    let choice = world.target_of(&packet)?;
    let (bth, ext) = (packet.bth?, packet.ext?);
    let next = world.targets[choice].next;
    let made = match (bth.opcode, ext) {
        (Opcode::SEND_ONLY, _) => match as_cdc(packet.payload) {
            Some(_) => op(operation::CDC, choice, &cdc(world, packet.payload)?),
            None => {
                let body = [&[packet.payload[0], packet.payload[3]], &packet.payload[4..]].concat();
                op(operation::LLC, choice, &body)
            }
        },
        (Opcode::WRITE_ONLY, Ext::Reth(reth)) => {
            let known = |(rkey, _): &(Rkey, u64)| *rkey == reth.rkey;
            let rmb = world.rmbs.iter().rposition(known)?;
            let offset = (reth.vaddr - world.rmbs[rmb].1) as u32;
            let head = [&[rmb as u8], &offset.to_be_bytes()[..], &reth.dma_len.to_be_bytes()].concat();
            op(operation::WRITE, choice, &[&head, packet.payload].concat())
        }
        (Opcode::ACK, Ext::Aeth(aeth)) => {
            let [_, rest @ ..] = aeth.msn.value().to_be_bytes();
            return Some(op(operation::ACK, choice, &[&[aeth.syndrome.octet(), 0], &rest[..]].concat()));
        }
        _ => {
            let mut octets = vec![0; ext.wire_len()];
            ext.emit(&mut octets).ok()?;
            op(operation::OPCODE, choice, &[&[bth.opcode.0], &octets[..], packet.payload].concat())
        }
    };
    match jump_to(next, bth.psn) {
        0 => Some(made),
        by => Some([op(operation::JUMP, choice, &by.to_be_bytes()), made].concat()),
    }
}

fn cdc(world: &World, payload: &[u8]) -> Option<Vec<u8>> {
    let message = as_cdc(payload)?;
    let known = |(token, _): &(AlertToken, _)| *token == message.token;
    let token = world.tokens.iter().rposition(known)?;
    let skipped = message.seq.distance_from(world.tokens[token].1) as u8;
    let head = [token as u8, skipped, payload[24], payload[25]];
    Some([&head, &payload[10..16], &payload[18..24]].concat())
}
