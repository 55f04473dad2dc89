//! Scenarios with our stack against a Linux kernel, in both roles.

mod agreement;
mod contact;
mod data;
mod ending;
mod failing;
mod faults;
mod links;
mod lives;
mod many;
mod measure;
mod pressure;
mod tools;
mod urgent;

use serde::de::DeserializeOwned;
use smolsmc::{Config, SocketHandle, SocketOptions, Transport};

use crate::host::Host;
use crate::protocol::{
    Behaviour, ConnectionInfo, Exchanged, Family, Handle, Request, Served, SmcSocket, Transfer,
};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Result};

/// Seconds that the guest may take for a transfer.
const SECONDS: f64 = 140.0;
const CHUNK: usize = 64 * 1024;

/// What we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum We {
    Connect,
    Listen,
}

impl We {
    const BOTH: [Self; 2] = [Self::Connect, Self::Listen];

    const fn role(self) -> &'static str {
        match self {
            Self::Connect => "client",
            Self::Listen => "server",
        }
    }
}

/// In their order: a guest may have met us before.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    [
        contact::scenarios(),
        agreement::scenarios(),
        data::scenarios(),
        urgent::scenarios(),
        ending::scenarios(),
        faults::scenarios(),
        many::scenarios(),
        pressure::scenarios(),
        tools::scenarios(),
        lives::scenarios(),
        failing::scenarios(),
        links::scenarios(),
        measure::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A scenario with us as the client, and with us as the server.
fn both(name: &str, play: impl Fn(&Stage<'_>, We) -> Result<String> + Copy + 'static) -> [Scenario; 2] {
    We::BOTH.map(|we| {
        let name = format!("{name}-{}", we.role());
        Scenario::alone(&name, we.role(), move |stage| play(stage, we))
    })
}

/// One connection between us and the guest, with an echo at one end.
struct Met<'a> {
    host: Host,
    guest: &'a Guest,
    we: We,
    /// Our end.
    socket: SocketHandle,
    /// The guest's end, if it connected; its listener, if it listens.
    theirs: Handle,
}

impl<'a> Met<'a> {
    /// With a usual stack of ours, the passive side echoing.
    fn usual(stage: &'a Stage<'_>, we: We) -> Result<Self> {
        Self::with(stage, we, Family::Smc, true, |_| {})
    }

    fn with(
        stage: &'a Stage<'_>,
        we: We,
        family: Family,
        echo: bool,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        Self::by(Host::on(stage, change)?, stage, we, family, echo)
    }

    /// As [`Met::with`], over wires that can be judged.
    fn across(
        stage: &'a Stage<'_>,
        we: We,
        family: Family,
        echo: bool,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        Self::by(Host::across(stage, change)?, stage, we, family, echo)
    }

    fn by(mut host: Host, stage: &'a Stage<'_>, we: We, family: Family, echo: bool) -> Result<Self> {
        let guest = stage.guest(0)?;
        let (socket, theirs) = meet(&mut host, stage, guest, we, family, echo)?;
        Ok(Self { host, guest, we, socket, theirs })
    }

    /// Asks the guest while our stack goes on.
    fn ask<T: DeserializeOwned>(&mut self, request: Request) -> Result<T> {
        self.host.during(self.guest.begin(request)?)
    }

    /// Octets there and back, all right.
    fn exchange(&mut self, octets: u64) -> Result<()> {
        exchange(&mut self.host, self.guest, self.we, self.socket, self.theirs, octets)
    }

    /// The guest's socket as its kernel shows it.
    fn diagnose(&mut self) -> Result<SmcSocket> {
        let handle = self.their_socket()?;
        let pending = self.guest.begin(Request::Diagnose { handle })?;
        let found: Option<SmcSocket> = self.host.during(pending)?;
        found.ok_or_else(|| crate::Error::Scenario("smc_diag does not show the guest's socket".to_owned()))
    }

    fn their_socket(&mut self) -> Result<Handle> {
        their_socket(&mut self.host, self.guest, self.we, self.theirs)
    }

    /// The rings of the guest's connection as its kernel shows them.
    fn ensure_there(&mut self, handle: Handle) -> Result<ConnectionInfo> {
        let found: Option<SmcSocket> = self.ask(Request::Diagnose { handle })?;
        let right = |socket: &SmcSocket| socket.mode == "SMCR";
        found
            .filter(right)
            .and_then(|socket| socket.connection)
            .ok_or_else(|| crate::Error::Scenario("the guest's connection is not on SMC-R".to_owned()))
    }

    /// Both ends of a connection without an echo are closed; then we leave.
    fn finish(mut self, handle: Handle) -> Result<()> {
        let closing = self.guest.begin::<()>(Request::Close { handle })?;
        self.host.close(self.socket);
        self.host.during(closing)?;
        self.host.leave()
    }

    /// Both sides are on SMC-R.
    fn ensure_smcr(&mut self) -> Result<Transport> {
        let socket = self.diagnose()?;
        let theirs = socket.mode == "SMCR" && socket.fallback.is_none() && socket.link.is_some();
        ensure(theirs, || format!("the guest: {socket:?}"))?;
        let transport = self.host.transport(self.socket)?;
        ensure(matches!(transport, Transport::SmcR { .. }), || format!("we: {transport}"))?;
        Ok(transport)
    }

    /// Whoever connected closes, the other side sees the end; then we leave.
    fn end(mut self) -> Result<()> {
        end(&mut self.host, self.guest, self.we, self.socket, self.theirs)?;
        self.host.leave()
    }
}

fn meet(
    host: &mut Host,
    stage: &Stage<'_>,
    guest: &Guest,
    we: We,
    family: Family,
    echo: bool,
) -> Result<(SocketHandle, Handle)> {
    let port = stage.fresh_port();
    match we {
        We::Connect => {
            let behaviour = if echo { Behaviour::Echo } else { Behaviour::Manual };
            let listener = guest.listen(family, port, behaviour)?;
            Ok((host.connect(port, SocketOptions::default())?, listener))
        }
        We::Listen => {
            let listener = host.listen(port)?;
            let address = Stage::free_address();
            let pending = guest.begin(Request::Connect { family, address, port, options: Vec::new() })?;
            let handle = host.during(pending)?;
            let socket = host.accept(listener)?;
            // Nobody else will come, and there is a limit.
            host.stack.unlisten(listener);
            if echo {
                host.echo_on(socket);
            }
            Ok((socket, handle))
        }
    }
}

fn exchange(
    host: &mut Host,
    guest: &Guest,
    we: We,
    socket: SocketHandle,
    theirs: Handle,
    octets: u64,
) -> Result<()> {
    if we == We::Connect {
        return host.exchange(socket, 1, octets);
    }
    let request = Request::Exchange { handle: theirs, stream: 1, octets, chunk: CHUNK, seconds: SECONDS };
    let done: Exchanged = host.during(guest.begin(request)?)?;
    let whole = |t: &Transfer| t.octets == octets && t.mismatch.is_none();
    ensure(whole(&done.sent) && whole(&done.received), || format!("{done:?}"))
}

fn their_socket(host: &mut Host, guest: &Guest, we: We, theirs: Handle) -> Result<Handle> {
    if we == We::Listen {
        return Ok(theirs);
    }
    let request = Request::AwaitServed { listener: theirs, count: 1, ended: false, seconds: SECONDS };
    let served: Vec<Served> = host.during(guest.begin(request)?)?;
    served.first().map(|served| served.handle).ok_or_else(|| crate::Error::Scenario("nobody came".to_owned()))
}

fn end(host: &mut Host, guest: &Guest, we: We, socket: SocketHandle, theirs: Handle) -> Result<()> {
    match we {
        We::Connect => {
            host.close(socket);
            let request = Request::AwaitServed { listener: theirs, count: 1, ended: true, seconds: SECONDS };
            let served: Vec<Served> = host.during(guest.begin(request)?)?;
            ensure(served[0].received.end && served[0].received.errno.is_none(), || format!("{served:?}"))
        }
        // The echo closes our end.
        We::Listen => host.during(guest.begin(Request::Close { handle: theirs })?),
    }
}

fn transport_name(transport: Transport) -> String {
    match transport {
        Transport::SmcR { release, .. } => format!("SMC-R v2.{release}"),
        other => other.to_string(),
    }
}

/// The guest's end of a connection without an echo.
fn accepted(met: &mut Met<'_>) -> Result<Handle> {
    if met.we == We::Listen {
        return Ok(met.theirs);
    }
    let request = Request::Accept { listener: met.theirs, seconds: SECONDS };
    met.host.during(met.guest.begin(request)?)
}
