//! How long a message takes to the other guest and back, whatever carries it: the
//! kernel's TCP and SMC-R, rsockets, bare verbs, and our stack over the same RDMA
//! device, measured by the same loop in one run.

mod meeting;
mod table;

use std::time::Instant;

use smolsmc_perf::Section;

use crate::kernel::Series;
use crate::lab::Lab;
use crate::programs::Extra;
use crate::scenario::{Stage, UEID, ensure};
use crate::{Error, GuestConfig, Result};
use meeting::Meeting;
use table::Table;

/// A line that fails so often in a row is given up: other work on the machine can
/// hold up who spins for longer than a block may take.
const ATTEMPTS: u32 = 3;
/// Of two processors, the one for who measures; the other one is the kernel's.
const SPARE: u8 = 1;
/// What is measured, as the program calls it, and as people do.
const WORKS: [(&str, &str); 5] =
    [("10", "10 B"), ("100", "100 B"), ("1024", "1 KiB"), ("16384", "16 KiB"), ("rpc", "RPC 64 B / 1 KiB")];

/// What others are held against.
const BASELINE: &str = "verbs-poll";

/// A line of the table.
struct Carrier {
    id: &'static str,
    /// What the program in the guest is told.
    what: &'static str,
    name: &'static str,
    mode: &'static str,
    /// What the program must say of it.
    carried: &'static str,
}

const fn carrier(
    id: &'static str,
    what: &'static str,
    name: &'static str,
    mode: &'static str,
    carried: &'static str,
) -> Carrier {
    Carrier { id, what, name, mode, carried }
}

/// rsockets are the program for TCP with another library in front of it.
const RSOCKETS: &str = "rsockets";

const CARRIERS: [Carrier; 8] = [
    carrier("tcp", "tcp", "kernel TCP", "blocking", "carried by a socket of the kernel"),
    carrier("smc", "smc", "kernel SMC-R", "blocking", "carried by a socket of the kernel"),
    carrier(RSOCKETS, "tcp", "rsockets", "blocking", "carried by no socket of the kernel"),
    carrier("verbs-event", "verbs-event", "raw verbs, WRITE and SEND", "event", "carried by verbs"),
    carrier(BASELINE, "verbs-poll", "raw verbs, WRITE and SEND", "polling", "carried by verbs"),
    carrier("send-poll", "send-poll", "raw verbs, one SEND", "polling", "carried by verbs"),
    carrier("interrupt", "interrupt", "smolsmc SMC-R", "interrupt", "carried by SMC-R"),
    carrier("busy", "busy", "smolsmc SMC-R", "busy", "carried by SMC-R"),
];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct LatencyOptions {
    /// Times that each line is measured, in turn with the others.
    pub blocks: u32,
    /// Messages there and back of each kind in a block.
    pub rounds: u32,
}

/// What came out.
pub struct Latency {
    /// The guests' kernel, and how they were made.
    pub about: String,
    /// Sizes, and requests with answers.
    pub sections: Vec<Section>,
    /// Lines that could not be measured, and why.
    pub missing: Vec<(String, String)>,
}

/// Boots two guests and measures; `say` gets a line at a time.
///
/// # Errors
///
/// If there are no guests, or one of them goes. A line that cannot be measured is
/// among what is [missing](Latency::missing).
pub fn latency(options: LatencyOptions, mut say: impl FnMut(&str)) -> Result<Latency> {
    let lab = Lab::prepare_with(Series::default(), false, Extra::Latency)?;
    let [near, far] = [0, 1].map(|number| GuestConfig::numbered(number, 1).with_spare_processor());
    let far = far.wired_to(&near);
    let guests = lab.boot(&[near, far])?;
    let [near, far] = &guests[..] else { return Err(Error::Scenario("two guests are wanted".to_owned())) };
    for (number, guest) in guests.iter().enumerate() {
        guest.set_up(|nic| Stage::nic_address(number, nic), UEID)?;
        guest.let_foreign_frames_in()?;
        guest.yields(SPARE)?;
    }
    let mut table = Table::new(options, format!("Linux {}", lab.kernel().release));
    let mut port = 6000;
    for block in 0..options.blocks {
        for carrier in &CARRIERS {
            if table.is_missing(carrier) {
                continue;
            }
            let start = Instant::now();
            let mut result = Err(Error::Scenario("it was not tried".to_owned()));
            for _ in 0..ATTEMPTS {
                port += 1;
                result = Meeting { near, far, carrier, port, rounds: options.rounds }.hold();
                let Err(error) = &result else { break };
                say(&format!("     {}, {}: {error}", carrier.name, carrier.mode));
            }
            let seconds = start.elapsed().as_secs_f64();
            say(&format!("block {block}, {}, {}: {seconds:.1} s", carrier.name, carrier.mode));
            match result {
                Ok(measured) => table.add(carrier, &measured),
                Err(error) => table.give_up(carrier, &error),
            }
            for guest in [near, far] {
                ensure(guest.is_alive(), || format!("{} is gone", guest.name()))?;
            }
        }
    }
    Ok(table.finish())
}
