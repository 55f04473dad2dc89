//! What scenarios ask of a guest most often, with deadlines that fit.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::protocol::{
    Behaviour, Exchanged, Fallback, Family, Half, Handle, LinkGroup, LogLine, Request, RoundTrips, Served,
    SmcSocket, SocketOption, Statistics, Transfer,
};
use crate::{Error, Guest, Pending, Result};

/// What Linux waits for a peer in a handshake, and a little more.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a transfer may take in the guest.
const TRANSFER: f64 = 60.0;
/// A little more than that, for the answer to arrive.
const TRANSFER_ANSWER: Duration = Duration::from_secs(70);
/// Octets of one system call, where a scenario has no wish.
const CHUNK: usize = 64 * 1024;
const ENOENT: i32 = 2;
/// The sysctls that a scenario may change: [`Guest::reset`] puts them back.
const SYSCTLS: [(&str, &str); 6] = [
    ("net.smc.smcr_testlink_time", "30"),
    ("net.smc.smcr_max_links_per_lgr", "2"),
    ("net.smc.smcr_max_conns_per_lgr", "255"),
    ("net.smc.rmem", "65536"),
    ("net.smc.wmem", "65536"),
    ("net.smc.autocorking_size", "65536"),
];

impl Guest {
    /// Brings each NIC up with its address in a network of 24 bits, makes an rxe
    /// device on it and sets the one UEID.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn set_up(&self, address: impl Fn(usize) -> Ipv4Addr, ueid: &str) -> Result<()> {
        for number in 0..self.nic_count() {
            let nic = || format!("eth{number}");
            let address = address(number);
            let _: () = self.ask(Request::AddAddress { nic: nic(), address, prefix: 24 })?;
            let _: () = self.ask(Request::LinkState { nic: nic(), up: true })?;
            let _: () = self.ask(Request::AddRxe { name: format!("rxe{number}"), nic: nic() })?;
        }
        self.set_ueids(&[ueid])
    }

    /// Replaces the UEIDs.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn set_ueids(&self, ueids: &[&str]) -> Result<()> {
        let _: () = self.ask(Request::FlushUeids)?;
        let add = |ueid: &&str| self.ask(Request::AddUeid { ueid: (*ueid).to_owned() });
        ueids.iter().try_for_each(add)
    }

    /// Undoes what a scenario may have done: sockets, netem, MTUs, sysctls, UEIDs, cables.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn reset(&self, ueid: &str) -> Result<()> {
        let _: () = self.ask(Request::CloseAll)?;
        for number in 0..self.nic_count() {
            let _: () = self.ask(Request::ClearNetem { nic: format!("eth{number}") })?;
            let _: () = self.ask(Request::Mtu { nic: format!("eth{number}"), mtu: 1500 })?;
            self.carrier(number, true)?;
        }
        for (name, value) in SYSCTLS {
            match self.set_sysctl(name, value) {
                // An older kernel has fewer.
                Err(error) if error.errno() == Some(ENOENT) => {}
                other => other?,
            }
        }
        self.set_ueids(&[ueid])
    }

    /// Writes a sysctl.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.ask(Request::SetSysctl { name: name.to_owned(), value: value.to_owned() })
    }

    /// Listens, with a backlog of 128.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn listen(&self, family: Family, port: u16, behaviour: Behaviour) -> Result<Handle> {
        self.ask(Request::Listen { family, port, backlog: 128, behaviour, options: Vec::new() })
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// What the agent says; [`Error::errno`] has the error number.
    pub fn connect(&self, family: Family, address: Ipv4Addr, port: u16) -> Result<Handle> {
        self.connect_with(family, address, port, &[])
    }

    /// Connects, with options set before.
    ///
    /// # Errors
    ///
    /// What the agent says; [`Error::errno`] has the error number.
    pub fn connect_with(
        &self,
        family: Family,
        address: Ipv4Addr,
        port: u16,
        options: &[SocketOption],
    ) -> Result<Handle> {
        let options = options.to_vec();
        self.ask_within(HANDSHAKE, Request::Connect { family, address, port, options })
    }

    /// The next connection of a manual listener.
    ///
    /// # Errors
    ///
    /// If none comes.
    pub fn accept(&self, listener: Handle) -> Result<Handle> {
        let seconds = HANDSHAKE.as_secs_f64() - 2.0;
        self.ask_within(HANDSHAKE, Request::Accept { listener, seconds })
    }

    /// Sends the next octets of a stream.
    ///
    /// # Errors
    ///
    /// What the agent says; a socket's error is in the result.
    pub fn send(&self, handle: Handle, stream: u64, octets: u64) -> Result<Transfer> {
        let request = Request::Send { handle, stream, octets, chunk: CHUNK, seconds: TRANSFER };
        self.ask_within(TRANSFER_ANSWER, request)
    }

    /// Receives and verifies so many octets, or all until the end.
    ///
    /// # Errors
    ///
    /// What the agent says; a socket's error is in the result.
    pub fn receive(&self, handle: Handle, stream: u64, octets: Option<u64>) -> Result<Transfer> {
        let request = Request::Receive { handle, stream, octets, chunk: CHUNK, seconds: TRANSFER };
        self.ask_within(TRANSFER_ANSWER, request)
    }

    /// Sends to an echo and receives at the same time.
    ///
    /// # Errors
    ///
    /// What the agent says; a socket's error is in the result.
    pub fn exchange(&self, handle: Handle, stream: u64, octets: u64) -> Result<Exchanged> {
        self.begin_exchange(handle, stream, octets)?.wait(TRANSFER_ANSWER)
    }

    /// As [`exchange`](Self::exchange), for somebody who does something meanwhile.
    ///
    /// # Errors
    ///
    /// If the request cannot be written as JSON.
    pub(crate) fn begin_exchange(
        &self,
        handle: Handle,
        stream: u64,
        octets: u64,
    ) -> Result<Pending<Exchanged>> {
        self.begin(Request::Exchange { handle, stream, octets, chunk: CHUNK, seconds: TRANSFER })
    }

    /// Messages to an echo, one after another.
    ///
    /// # Errors
    ///
    /// What the agent says; a socket's error is in the result.
    pub fn ping_pong(&self, handle: Handle, stream: u64, size: usize, count: usize) -> Result<RoundTrips> {
        let request = Request::PingPong { handle, stream, size, count, seconds: TRANSFER };
        self.ask_within(TRANSFER_ANSWER, request)
    }

    /// Shuts down a half, or both.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn shutdown(&self, handle: Handle, half: Half) -> Result<()> {
        self.ask(Request::Shutdown { handle, half })
    }

    /// Closes, and waits until `close` has returned.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn close(&self, handle: Handle) -> Result<()> {
        self.ask(Request::Close { handle })
    }

    /// Waits until so many connections of a listener have ended.
    ///
    /// # Errors
    ///
    /// If they do not.
    pub fn await_served(&self, listener: Handle, count: usize) -> Result<Vec<Served>> {
        let seconds = HANDSHAKE.as_secs_f64() - 2.0;
        self.ask_within(HANDSHAKE, Request::AwaitServed { listener, count, ended: true, seconds })
    }

    /// Waits until so many connections of a listener have come: the client may be
    /// told a little earlier that it is connected.
    ///
    /// # Errors
    ///
    /// If they do not.
    pub fn await_arrivals(&self, listener: Handle, count: usize) -> Result<Vec<Served>> {
        let seconds = HANDSHAKE.as_secs_f64() - 2.0;
        self.ask_within(HANDSHAKE, Request::AwaitServed { listener, count, ended: false, seconds })
    }

    /// The connections of a listener so far.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn served(&self, listener: Handle) -> Result<Vec<Served>> {
        self.ask(Request::Served { listener })
    }

    /// What `smc_diag` says about a connection.
    ///
    /// # Errors
    ///
    /// Also if it says nothing: a TCP socket is not there.
    pub fn diagnose(&self, handle: Handle) -> Result<SmcSocket> {
        let found: Option<SmcSocket> = self.ask(Request::Diagnose { handle })?;
        let name = self.name();
        found.ok_or_else(|| Error::Scenario(format!("{name}: smc_diag does not show socket {handle}")))
    }

    /// Link groups.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn link_groups(&self) -> Result<Vec<LinkGroup>> {
        self.ask(Request::LinkGroups)
    }

    /// Counters since boot.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn statistics(&self) -> Result<Statistics> {
        self.ask(Request::Statistics)
    }

    /// How often a side of this guest fell back for a reason, since boot.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn fallback_count(&self, server: bool, reason: u32) -> Result<u16> {
        let all: Vec<Fallback> = self.ask(Request::Fallbacks)?;
        Ok(all.iter().filter(|f| f.server == server && f.reason == reason).map(|f| f.count).sum())
    }

    /// The kernel's log from a record number on.
    ///
    /// # Errors
    ///
    /// What the agent says.
    pub fn kernel_log(&self, since: u64) -> Result<Vec<LogLine>> {
        self.ask(Request::KernelLog { since })
    }
}
