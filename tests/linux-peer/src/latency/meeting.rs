//! One block of one line: the echo in one guest, its client in the other.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Carrier, RSOCKETS, WORKS};
use crate::programs::PRELOADED;
use crate::protocol::{Handle, Ran, Request};
use crate::scenario::{Stage, ensure};
use crate::{Error, Guest, Result};

const PROGRAM: &str = "/bin/ibv-latency";
/// Loads a library before a program, so that its sockets become rsockets.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// How long an end may take, and how long the echo until it listens.
const PATIENCE: u64 = 120;
const START: Duration = Duration::from_secs(30);

pub(super) struct Meeting<'a> {
    pub(super) near: &'a Guest,
    pub(super) far: &'a Guest,
    pub(super) carrier: &'a Carrier,
    pub(super) port: u16,
    pub(super) rounds: u32,
}

/// Nanoseconds: half of the rounds were faster, and 99 of 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Meeting<'_> {
    /// Measures each work once, in their order.
    pub(super) fn hold(&self) -> Result<Vec<Measured>> {
        let before = self.served()?;
        let far = self.begin(self.far, false)?;
        self.await_listening(far)?;
        let near = self.begin(self.near, true)?;
        let near = self.near.await_program(near, PATIENCE)?;
        // Without a client the echo waits for ever.
        if near.code != Some(0) {
            let _: () = self.far.ask(Request::SignalProgram { handle: far, kill: true })?;
        }
        let far = self.far.await_program(far, PATIENCE)?;
        self.ensure_carried(&near)?;
        ensure(far.code == Some(0), || format!("the echo ended with {:?}: {:?}", far.code, far.output))?;
        let served = self.served()? - before;
        let is_kernel_smc = self.carrier.what == "smc";
        ensure(served == u64::from(is_kernel_smc), || format!("the kernel counts {served} of SMC-R"))?;
        measured(&near.output)
    }

    /// Connections of SMC-R that the kernel has taken.
    fn served(&self) -> Result<u64> {
        Ok(self.far.statistics()?.server_v2)
    }

    fn begin(&self, guest: &Guest, measures: bool) -> Result<Handle> {
        let is_ours = self.carrier.carried.contains("SMC-R");
        let echo = if is_ours { self.own_address(false) } else { Stage::address(1) };
        let own = self.own_address(measures).to_string();
        let (place, rounds) = (format!("{echo}:{}", self.port), self.rounds.to_string());
        let mut words = vec![self.carrier.what, &place, "--rounds", &rounds, "--ip", &own];
        if measures {
            words.push("--measure");
        }
        if self.carrier.id == RSOCKETS {
            let loaded = [&["--preload", PRELOADED, PROGRAM], &words[..]].concat();
            return guest.begin_program(LOADER, &loaded);
        }
        guest.begin_program(PROGRAM, &words)
    }

    /// Of our stack, beside the kernel's.
    fn own_address(&self, measures: bool) -> Ipv4Addr {
        let [a, b, c, d] = Stage::free_address().octets();
        Ipv4Addr::new(a, b, c, d + u8::from(!measures))
    }

    fn await_listening(&self, far: Handle) -> Result<()> {
        let since = Instant::now();
        loop {
            let said: String = self.far.ask(Request::ProgramSaid { handle: far })?;
            if said.contains("listening") {
                return Ok(());
            }
            if said.contains("failed: ") || since.elapsed() > START {
                let _: Ran = self.far.await_program(far, 0)?;
                return Err(Error::Scenario(format!("the echo: {said:?}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The client ended well, and over what it should.
    fn ensure_carried(&self, near: &Ran) -> Result<()> {
        let carried = near.output.lines().any(|line| line.starts_with(self.carrier.carried));
        ensure(near.code == Some(0) && carried, || format!("ended with {:?}: {:?}", near.code, near.output))
    }
}

/// What the client has said of each work.
fn measured(said: &str) -> Result<Vec<Measured>> {
    let objects: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |(work, _): &(&str, &str)| {
        let found = objects.iter().find(|object| object["work"] == *work)?;
        Some(Measured { p50: found["p50"].as_f64()?, p99: found["p99"].as_f64()? })
    };
    let all: Option<Vec<_>> = WORKS.iter().map(of).collect();
    all.ok_or_else(|| Error::Scenario(format!("not every work was measured: {said:?}")))
}

#[cfg(test)]
mod tests {
    use super::{Measured, measured};
    use crate::latency::WORKS;

    #[test]
    fn every_work_must_have_been_measured() {
        let line = |work: &str| format!("{{\"work\":\"{work}\",\"p50\":1000,\"p99\":3000,\"count\":5}}\n");
        let all: String = WORKS.iter().map(|(work, _)| line(work)).collect();
        let found = measured(&format!("carried by verbs\n{all}")).expect("all of them");
        assert_eq!(found, vec![Measured { p50: 1000.0, p99: 3000.0 }; WORKS.len()]);
        assert!(measured(&all.replace("rpc", "other")).is_err());
    }
}
