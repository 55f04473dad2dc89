//! One direction of a cable, and what befalls frames on it.

use smolsmc_wire::{Duration, Instant};

use super::{Faults, Random};

const IPV4: [u8; 2] = [0x08, 0x00];
const ETHERNET_LEN: usize = 14;

#[derive(Clone, Debug, Default)]
pub(super) struct Cable {
    pub(super) faults: Faults,
    /// In the bad state of bursts.
    bad: bool,
    /// When the line has sent what is queued, in nanoseconds.
    free_at: u64,
    /// No frame that keeps the order arrives before this.
    last_arrival: Instant,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// When it arrives, `None` if it does not.
    pub(super) arrives: Option<Instant>,
    /// When its copy arrives.
    pub(super) again: Option<Instant>,
    pub(super) corrupted: bool,
    pub(super) masked: bool,
}

impl Cable {
    /// Decides over a frame that is sent now, and bends its octets.
    pub(super) fn carry(&mut self, now: Instant, frame: &mut [u8], random: &mut Random) -> Fate {
        if self.loses(now, random) {
            return Fate::default();
        }
        let Some(sent) = self.transmit(now, frame.len()) else { return Fate::default() };
        let faults = &self.faults;
        let mut fate = Fate::default();
        if random.chance(faults.masked) {
            fate.masked = true;
            change_masked(frame, random);
        }
        if random.chance(faults.corrupt) {
            fate.corrupted = true;
            flip_bits(frame, random);
        }
        let jitter = random.below(faults.jitter.micros() + 1);
        let mut arrives = sent + Duration::from_micros(1) + faults.delay + Duration::from_micros(jitter);
        arrives = arrives.max(self.last_arrival);
        if random.chance(faults.reorder) {
            arrives = arrives + Duration::from_micros(random.between(1, faults.reorder_by.micros().max(1)));
        } else {
            self.last_arrival = arrives;
        }
        if random.chance(faults.duplicate) {
            fate.again = Some(arrives + Duration::from_micros(random.below(faults.reorder_by.micros() + 1)));
        }
        fate.arrives = Some(arrives);
        fate
    }

    fn loses(&mut self, now: Instant, random: &mut Random) -> bool {
        let faults = &self.faults;
        if faults.blackhole.is_some_and(|(from, to)| (from..to).contains(&now)) {
            return true;
        }
        if let Some(burst) = faults.burst {
            self.bad = if self.bad { !random.chance(burst.leave) } else { random.chance(burst.enter) };
            if self.bad && random.chance(burst.loss) {
                return true;
            }
        }
        random.chance(faults.loss)
    }

    /// When the line has sent it, `None` if the queue is full.
    fn transmit(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.faults.rate else { return Some(now) };
        let nanos = |octets: u64| octets.saturating_mul(1_000_000_000) / rate.octets_per_second.max(1);
        let start = self.free_at.max(now.micros() * 1000);
        if start - now.micros() * 1000 > nanos(rate.queue_octets) {
            return None;
        }
        self.free_at = start + nanos(len as u64);
        Some(Instant::from_micros(self.free_at / 1000))
    }
}

fn flip_bits(frame: &mut [u8], random: &mut Random) {
    for _ in 0..random.between(1, 3) {
        let bit = random.below(frame.len() as u64 * 8);
        if let Some(octet) = frame.get_mut((bit / 8) as usize) {
            *octet ^= 1 << (bit % 8);
        }
    }
}

/// Changes what a router may, and leaves the frame right.
fn change_masked(frame: &mut [u8], random: &mut Random) {
    let is_ipv4 = frame.get(12..14) == Some(&IPV4);
    // TOS and TTL of IPv4; traffic class and hop limit of IPv6.
    let (tos, ttl, transport) = if is_ipv4 { (15, 22, 34) } else { (15, 21, 54) };
    let congestion = transport + 8 + 4;
    match random.below(3) {
        // Of IPv6, only the low half of the traffic class lies in this octet.
        0 => set(frame, tos, |octet| octet ^ if is_ipv4 { 0x03 } else { 0x30 }),
        1 => set(frame, ttl, |octet| octet.wrapping_add(7)),
        _ => set(frame, congestion, |octet| octet ^ 0xc0),
    }
    if is_ipv4 {
        mend_checksum(frame);
    }
}

fn set(frame: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(octet) = frame.get_mut(at) {
        *octet = change(*octet);
    }
}

fn mend_checksum(frame: &mut [u8]) {
    let Some(header) = frame.get_mut(ETHERNET_LEN..ETHERNET_LEN + 20) else { return };
    header[10..12].fill(0);
    let mut sum: u32 = header.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
