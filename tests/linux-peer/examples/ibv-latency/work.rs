//! What is measured: messages of some sizes there and back, and requests with
//! answers, each behind its length.

use std::time::Instant;

/// One end of a connection.
pub(crate) trait End {
    /// Hands over all of it.
    fn send(&mut self, octets: &[u8]) -> Result<(), String>;

    /// Waits for all of it.
    fn receive(&mut self, octets: &mut [u8]) -> Result<(), String>;
}

/// Sizes that come back as they went.
const SIZES: [usize; 4] = [10, 100, 1024, 16 * 1024];
/// Octets of a request, and of its answer.
const RPC: (usize, usize) = (64, 1024);
/// In front of each of them: how many octets follow, big-endian.
const PREFIX: usize = 4;
/// Rounds that are not counted.
const WARM_UP: u32 = 20;

/// Measures, and says what came out: an object a line.
pub(crate) fn measure(end: &mut impl End, rounds: u32) -> Result<(), String> {
    for size in SIZES {
        let (mut there, mut back) = (vec![0; size], vec![0; size]);
        let times = timed(rounds, |round| {
            mark(&mut there, round);
            let start = Instant::now();
            end.send(&there)?;
            end.receive(&mut back)?;
            let took = start.elapsed();
            if back == there { Ok(took) } else { Err(format!("{size} octets: others came back")) }
        })?;
        tell(&size.to_string(), times);
    }
    let (request, mut answer) = (framed(RPC.0), vec![0; RPC.1]);
    let times = timed(rounds, |_| {
        let start = Instant::now();
        end.send(&request)?;
        let len = receive_framed(end, &mut answer)?;
        let took = start.elapsed();
        if len == RPC.1 { Ok(took) } else { Err(format!("an answer of {len} octets")) }
    })?;
    tell("rpc", times);
    Ok(())
}

/// Answers what [`measure`] sends.
pub(crate) fn echo(end: &mut impl End, rounds: u32) -> Result<(), String> {
    let all = rounds + WARM_UP;
    for size in SIZES {
        let mut octets = vec![0; size];
        for _ in 0..all {
            end.receive(&mut octets)?;
            end.send(&octets)?;
        }
    }
    let (mut request, answer) = (vec![0; RPC.0], framed(RPC.1));
    for _ in 0..all {
        receive_framed(end, &mut request)?;
        end.send(&answer)?;
    }
    Ok(())
}

/// Tells one round from the others.
fn mark(octets: &mut [u8], round: u32) {
    octets.iter_mut().zip(round.to_le_bytes().into_iter().cycle()).for_each(|(to, from)| *to = from);
}

fn framed(len: usize) -> Vec<u8> {
    let mut octets = (len as u32).to_be_bytes().to_vec();
    octets.resize(PREFIX + len, 0x5a);
    octets
}

fn receive_framed(end: &mut impl End, octets: &mut [u8]) -> Result<usize, String> {
    let mut prefix = [0; PREFIX];
    end.receive(&mut prefix)?;
    let len = u32::from_be_bytes(prefix) as usize;
    let body = octets.get_mut(..len).ok_or_else(|| format!("a frame of {len} octets"))?;
    end.receive(body)?;
    Ok(len)
}

/// Nanoseconds of each round that counts.
fn timed(
    rounds: u32,
    mut round: impl FnMut(u32) -> Result<std::time::Duration, String>,
) -> Result<Vec<u64>, String> {
    for number in 0..WARM_UP {
        round(number)?;
    }
    (WARM_UP..WARM_UP + rounds).map(|number| round(number).map(|took| took.as_nanos() as u64)).collect()
}

fn tell(work: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    let (p50, p99) = (at(50).copied().unwrap_or(0), at(99).copied().unwrap_or(0));
    println!("{}", serde_json::json!({ "work": work, "p50": p50, "p99": p99, "count": times.len() }));
}
