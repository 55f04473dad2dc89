//! Scenarios with our stack against a Linux kernel, in both roles.

use std::time::Duration;

use smolsmc::{Config, Eid, SocketHandle, SocketOptions, Transport};

use crate::host::Host;
use crate::protocol::{Behaviour, Exchanged, Family, Half, Handle, Request, Served, SmcSocket, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Result};

/// No common ground: an EID that the peer does not have is among the reasons.
const NO_DEVICE: u32 = 0x0303_0000;
/// The peer's SYN or SYN-ACK had no SMC option.
const PEER_WITHOUT_SMC: u32 = 0x0301_0000;
/// The peer declined; its reason is in the diagnosis.
const PEER_DECLINED: u32 = 0x0500_0000;

/// Seconds that the guest may take for a transfer.
const SECONDS: f64 = 50.0;
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

type Play = fn(&Stage<'_>, We) -> Result<String>;

/// In their order: a guest may have met us before.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let plays: [(&str, Play); 10] = [
        ("first-contact", first_contact),
        ("second-connection", second_connection),
        ("connections-in-a-row", connections_in_a_row),
        ("sizes", sizes),
        ("half-close-ours", half_close_ours),
        ("half-close-theirs", half_close_theirs),
        ("eid-mismatch", eid_mismatch),
        ("linux-without-smc", linux_without_smc),
        ("us-without-smc", us_without_smc),
        ("test-link", test_link),
    ];
    let mut list: Vec<_> = plays
        .into_iter()
        .flat_map(|(name, play)| We::BOTH.map(|we| (name, we, play)))
        .map(|(name, we, play)| {
            Scenario::alone(&format!("{name}-{}", we.role()), we.role(), move |stage| play(stage, we))
        })
        .collect();
    list.push(Scenario::alone("add-link-rejected-client", "client", add_link_rejected));
    list
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
        let guest = stage.guest(0)?;
        let mut host = Host::on(stage, change)?;
        let (socket, theirs) = meet(&mut host, stage, guest, we, family, echo)?;
        Ok(Self { host, guest, we, socket, theirs })
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

fn first_contact(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    let first = matches!(transport, Transport::SmcR { first_contact: true, .. });
    ensure(first, || format!("we: {transport}"))?;
    met.exchange(16)?;
    met.end()?;
    Ok(transport_name(transport))
}

/// While the first is open: each side tells of its new RMB.
fn second_connection(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    met.ensure_smcr()?;
    let guest = met.guest;
    let (socket, theirs) = meet(&mut met.host, stage, guest, we, Family::Smc, true)?;
    let transport = met.host.transport(socket)?;
    let subsequent = matches!(transport, Transport::SmcR { first_contact: false, .. });
    ensure(subsequent, || format!("we: {transport}"))?;
    met.exchange(1000)?;
    exchange(&mut met.host, guest, we, socket, theirs, 100_000)?;
    met.exchange(100_000)?;
    end(&mut met.host, guest, we, socket, theirs)?;
    met.exchange(10)?;
    met.end()?;
    Ok(transport_name(transport))
}

/// RMBs come back and are used again.
fn connections_in_a_row(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    let guest = met.guest;
    for _ in 0..10 {
        let (socket, theirs) = meet(&mut met.host, stage, guest, we, Family::Smc, true)?;
        let transport = met.host.transport(socket)?;
        let subsequent = matches!(transport, Transport::SmcR { first_contact: false, .. });
        ensure(subsequent, || format!("we: {transport}"))?;
        exchange(&mut met.host, guest, we, socket, theirs, 5000)?;
        end(&mut met.host, guest, we, socket, theirs)?;
    }
    met.end()?;
    Ok(transport_name(transport))
}

fn sizes(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    for octets in [1, 16, 64 << 10, 1 << 20] {
        // Each exchange begins its stream anew; so does the guest's.
        met.exchange(octets)?;
    }
    met.end()?;
    Ok(transport_name(transport))
}

/// We have said all, and still receive all.
fn half_close_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    const OCTETS: u64 = 3000;
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let transport = met.host.transport(met.socket)?;
    let handle = accepted(&mut met)?;
    met.host.send(met.socket, 1, OCTETS)?;
    met.host.shutdown(met.socket);
    let request = Request::Receive { handle, stream: 1, octets: None, chunk: CHUNK, seconds: SECONDS };
    let received: Transfer = met.host.during(met.guest.begin(request)?)?;
    let whole = received.octets == OCTETS && received.end && received.mismatch.is_none();
    ensure(whole, || format!("the guest: {received:?}"))?;
    let request = Request::Send { handle, stream: 2, octets: 100_000, chunk: CHUNK, seconds: SECONDS };
    let pending = met.guest.begin::<Transfer>(request)?;
    met.host.receive(met.socket, 2, 100_000)?;
    let sent = met.host.during(pending)?;
    ensure(sent.octets == 100_000, || format!("the guest: {sent:?}"))?;
    let closing = met.guest.begin::<()>(Request::Close { handle })?;
    let more = met.host.receive_to_end(met.socket, 2)?;
    ensure(more == 0, || format!("we received {more} more"))?;
    met.host.close(met.socket);
    met.host.during(closing)?;
    met.host.leave()?;
    Ok(transport_name(transport))
}

/// The guest has said all, and still receives all.
fn half_close_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    const OCTETS: u64 = 3000;
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let transport = met.host.transport(met.socket)?;
    let handle = accepted(&mut met)?;
    let request = Request::Send { handle, stream: 1, octets: OCTETS, chunk: CHUNK, seconds: SECONDS };
    let _: Transfer = met.host.during(met.guest.begin(request)?)?;
    let _: () = met.host.during(met.guest.begin(Request::Shutdown { handle, half: Half::Write })?)?;
    let received = met.host.receive_to_end(met.socket, 1)?;
    ensure(received == OCTETS, || format!("we received {received}"))?;
    let request = Request::Receive { handle, stream: 2, octets: None, chunk: CHUNK, seconds: SECONDS };
    let pending = met.guest.begin::<Transfer>(request)?;
    met.host.send(met.socket, 2, 100_000)?;
    met.host.close(met.socket);
    let received = met.host.during(pending)?;
    let whole = received.octets == 100_000 && received.end && received.mismatch.is_none();
    ensure(whole, || format!("the guest: {received:?}"))?;
    let _: () = met.host.during(met.guest.begin(Request::Close { handle })?)?;
    met.host.leave()?;
    Ok(transport_name(transport))
}

/// The guest's end of a connection without an echo.
fn accepted(met: &mut Met<'_>) -> Result<Handle> {
    if met.we == We::Listen {
        return Ok(met.theirs);
    }
    let request = Request::Accept { listener: met.theirs, seconds: SECONDS };
    met.host.during(met.guest.begin(request)?)
}

/// The connection is TCP, the guest's kernel says `reason`, and octets are whole.
fn ensure_tcp(met: &mut Met<'_>, ours: &str, reason: Option<(u32, u32)>) -> Result<String> {
    let transport = met.host.transport(met.socket)?;
    ensure(transport.to_string() == ours, || format!("we: {transport}"))?;
    if let Some(reason) = reason {
        let socket = met.diagnose()?;
        let right = socket.mode == "TCP" && socket.fallback == Some(reason);
        ensure(right, || format!("the guest: {socket:?}"))?;
    }
    met.exchange(100_000)?;
    Ok("TCP".to_owned())
}

fn eid_mismatch(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, true, |config| {
        config.eids = Eid::from_ascii("OTHEREID").into_iter().collect();
    })?;
    let (ours, theirs) = match we {
        We::Connect => {
            ("TCP (we: 0x05000000 peer declined; peer: 0x03030000 no SMC device (R or D))", (NO_DEVICE, 0))
        }
        We::Listen => ("TCP (we: 0x03030000 no SMC device (R or D))", (PEER_DECLINED, NO_DEVICE)),
    };
    let name = ensure_tcp(&mut met, ours, Some(theirs))?;
    met.end()?;
    Ok(name)
}

fn linux_without_smc(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Tcp, true, |_| {})?;
    let name = ensure_tcp(&mut met, "TCP (we: 0x03010000 peer did not signal SMC)", None)?;
    met.end()?;
    Ok(name)
}

fn us_without_smc(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, true, |config| config.smc = false)?;
    let name = ensure_tcp(&mut met, "TCP (SMC was not asked for)", Some((PEER_WITHOUT_SMC, 0)))?;
    met.end()?;
    Ok(name)
}

/// The guest asks every second whether we live, and we do.
fn test_link(stage: &Stage<'_>, we: We) -> Result<String> {
    stage.guest(0)?.set_sysctl("net.smc.smcr_testlink_time", "1")?;
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    met.exchange(1000)?;
    met.host.during_time(Duration::from_secs(5));
    met.exchange(1000)?;
    met.ensure_smcr()?;
    met.end()?;
    Ok(transport_name(transport))
}

/// With two links negotiated, a server of one device offers a second link on
/// the same device, and hears no.
fn add_link_rejected(stage: &Stage<'_>) -> Result<String> {
    let mut met = Met::with(stage, We::Connect, Family::Smc, true, |config| config.max_links = 2)?;
    let transport = met.ensure_smcr()?;
    met.exchange(100_000)?;
    met.end()?;
    Ok(transport_name(transport))
}
