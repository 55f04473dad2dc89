//! Scenarios with Linux on both sides: they prove the harness, and say what Linux
//! does with Linux where another peer is measured against it.
//!
//! The server is always guest 0, because a link group has fixed roles.

mod contact;
mod data;
mod ending;

use crate::protocol::{Behaviour, Exchanged, Family, Handle, SocketOption, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Result};

const ROLE: &str = "Linux-Linux";

/// In their order: the first needs guests that have never met.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut list = vec![
        Scenario::pair("linux-first-contact", ROLE, contact::first_contact),
        Scenario::pair("linux-second-connection", ROLE, contact::second_connection),
    ];
    for (name, octets) in [("1", 1), ("16", 16), ("64k", 64 << 10), ("1m", 1 << 20)] {
        let name = format!("linux-echo-{name}");
        list.push(Scenario::pair(&name, ROLE, move |stage| data::echo(stage, octets)));
    }
    list.extend([
        Scenario::pair("linux-ueid-mismatch", ROLE, contact::ueid_mismatch),
        Scenario::pair("linux-server-without-smc", ROLE, contact::server_without_smc),
        Scenario::pair("linux-many-connections", ROLE, contact::many_connections),
        Scenario::pair("linux-ping-pong", ROLE, data::ping_pong),
        Scenario::pair("linux-source-and-sink", ROLE, data::source_and_sink),
        Scenario::pair("linux-buffer-sizes", ROLE, data::buffer_sizes),
        Scenario::pair("linux-peek", ROLE, data::peek),
        Scenario::pair("linux-urgent", ROLE, data::urgent),
        Scenario::pair("linux-cork", ROLE, data::cork),
        Scenario::pair("linux-loss-on-the-wire", ROLE, data::loss_on_the_wire),
        Scenario::pair("linux-netem", ROLE, data::netem),
        Scenario::pair("linux-half-close", ROLE, ending::half_close),
        Scenario::pair("linux-unread-data", ROLE, ending::unread_data),
        Scenario::pair("linux-process-killed", ROLE, ending::process_killed),
        Scenario::pair("linux-indirect", ROLE, contact::indirect).spoils_guests(),
        Scenario::pair("linux-cable-pulled", ROLE, ending::cable_pulled).spoils_guests(),
    ]);
    list
}

/// A connection between both guests, and what it takes to look at both ends.
struct Connected<'a> {
    server: &'a Guest,
    client: &'a Guest,
    listener: Handle,
    handle: Handle,
}

impl<'a> Connected<'a> {
    fn new(stage: &'a Stage<'_>, listening: Family, behaviour: Behaviour) -> Result<Self> {
        Self::with(stage, listening, behaviour, &[])
    }

    /// With options of the client's socket.
    fn with(
        stage: &'a Stage<'_>,
        listening: Family,
        behaviour: Behaviour,
        options: &[SocketOption],
    ) -> Result<Self> {
        let (server, client) = (stage.guest(0)?, stage.guest(1)?);
        let port = stage.fresh_port();
        let listener = server.listen(listening, port, behaviour)?;
        let handle = client.connect_with(Family::Smc, Stage::address(0), port, options)?;
        Ok(Self { server, client, listener, handle })
    }

    /// Both sides are on SMC-R.
    fn ensure_smcr(&self) -> Result<()> {
        let at_client = self.client.diagnose(self.handle)?;
        let served = self.server.await_arrivals(self.listener, 1)?;
        ensure(served.len() == 1, || format!("the server has {} connections", served.len()))?;
        let at_server = self.server.diagnose(served[0].handle)?;
        for (side, socket) in [("client", at_client), ("server", at_server)] {
            let is_smcr = socket.mode == "SMCR" && socket.fallback.is_none() && socket.link.is_some();
            ensure(is_smcr, || format!("{side}: {socket:?}"))?;
        }
        Ok(())
    }

    /// Octets there and back, all right.
    fn ensure_echo(&self, octets: u64) -> Result<()> {
        let exchanged = self.client.exchange(self.handle, 1, octets)?;
        ensure(is_whole(&exchanged, octets), || format!("{exchanged:?}"))
    }

    /// The client closes, the server sees the end.
    fn close(self) -> Result<()> {
        self.client.close(self.handle)?;
        let served = self.server.await_served(self.listener, 1)?;
        ensure(served[0].received.end, || format!("{served:?}"))?;
        self.server.close(self.listener)
    }
}

fn is_whole(exchanged: &Exchanged, octets: u64) -> bool {
    let (sent, received) = (&exchanged.sent, &exchanged.received);
    sent.octets == octets && received.octets == octets && received.mismatch.is_none()
}

/// So many octets of the stream, all right.
fn ensure_all(transfer: &Transfer, octets: u64) -> Result<()> {
    let is_all = transfer.octets == octets && transfer.mismatch.is_none() && transfer.errno.is_none();
    ensure(is_all, || format!("not {octets} octets: {transfer:?}"))
}

/// As [`ensure_all`], up to the end of the stream.
fn ensure_end(transfer: &Transfer, octets: u64) -> Result<()> {
    ensure_all(transfer, octets)?;
    ensure(transfer.end, || format!("no end of stream: {transfer:?}"))
}

#[cfg(test)]
mod tests {
    use crate::runner::duplicates;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        assert!(duplicates(&super::scenarios()).is_empty());
    }
}
