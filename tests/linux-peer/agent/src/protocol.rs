//! What the harness may ask, and what the agent answers: one JSON object a line,
//! each way. Answers come in the order in which requests are done, not asked.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line to the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Comes back in the answer; 0 is kept for [`Hello`].
    pub seq: u64,
    /// What to do.
    #[serde(flatten)]
    pub request: Request,
}

/// One line from the agent: `ok` or `fault`, never both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// Of the call that is answered.
    pub seq: u64,
    /// What the request yields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Why a request failed in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Of the system call, where one failed.
    pub errno: Option<i32>,
    /// In words.
    pub text: String,
}

/// The agent's first line, with `seq` 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// `uname -r`.
    pub release: String,
    /// Seconds since the kernel started.
    pub uptime: f64,
    /// Modules that did not load, with the reason.
    pub missing: Vec<String>,
}

/// A handle of a connection, a listener or a child: never used twice.
pub type Handle = u32;

/// What kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// `socket(AF_SMC, SOCK_STREAM, 0)`.
    Smc,
    /// `socket(AF_INET, SOCK_STREAM, 0)`.
    Tcp,
}

/// What a listener does with each connection, on a thread of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Sends back what comes, closes at the end of stream.
    Echo,
    /// Verifies what comes as this stream until its end, then closes.
    Sink(u64),
    /// Sends the first octets of a stream, then closes.
    Source {
        /// Which stream.
        stream: u64,
        /// How many octets.
        octets: u64,
    },
    /// Does nothing: [`Request::Accept`] fetches the connection.
    Manual,
}

/// A socket option, set before bind or connect, or at any time later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketOption {
    /// `SO_RCVBUF`, in octets (Linux doubles it).
    ReceiveBuffer(usize),
    /// `SO_SNDBUF`, in octets (Linux doubles it).
    SendBuffer(usize),
    /// `SO_LINGER` on, with 0 seconds: an abort over TCP; over SMC only the drain is left out.
    LingerZero,
    /// `SO_KEEPALIVE`.
    KeepAlive(bool),
    /// `SO_OOBINLINE`.
    UrgentInline(bool),
    /// `TCP_CORK`.
    Cork(bool),
    /// `TCP_NODELAY`.
    NoDelay(bool),
}

/// Which half to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// No more is sent.
    Write,
    /// No more is received.
    Read,
    /// Neither.
    Both,
}

/// What netem does to the packets that leave a NIC. Probabilities from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Netem {
    /// Delay in microseconds.
    pub delay: u32,
    /// Variation of the delay in microseconds.
    pub jitter: u32,
    /// Of a packet being lost.
    pub loss: f64,
    /// Of a packet being sent twice.
    pub duplicate: f64,
    /// Of a packet overtaking the delayed ones (needs a delay).
    pub reorder: f64,
    /// Of a bit being flipped.
    pub corrupt: f64,
}

/// Everything the agent can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields say it; units are named where there is a choice")]
pub enum Request {
    /// Answers at once.
    Ping,
    /// Ends the machine; no answer.
    PowerOff,

    /// Sets a NIC up or down.
    LinkState { nic: String, up: bool },
    /// Sets a NIC's MTU in octets.
    Mtu { nic: String, mtu: u32 },
    /// Adds an IPv4 address.
    AddAddress { nic: String, address: Ipv4Addr, prefix: u8 },
    /// Takes an IPv4 address away.
    RemoveAddress { nic: String, address: Ipv4Addr, prefix: u8 },
    /// Adds a route by way of a gateway.
    AddRoute { to: Ipv4Addr, prefix: u8, via: Ipv4Addr },
    /// Adds a permanent neighbour; the MAC as six octets.
    AddNeighbour { nic: String, address: Ipv4Addr, mac: [u8; 6] },
    /// Puts netem on a NIC, in place of what is there.
    SetNetem { nic: String, netem: Netem },
    /// Takes netem away; no fault if there is none.
    ClearNetem { nic: String },

    /// Makes an rxe device on a NIC.
    AddRxe { name: String, nic: String },
    /// Deletes an RDMA device.
    RemoveRxe { name: String },

    /// Adds a user EID, without padding.
    AddUeid { ueid: String },
    /// Empties the UEID table.
    FlushUeids,
    /// The UEID table: `Vec<String>`, without padding.
    Ueids,
    /// Reads a sysctl, as `net.smc.rmem`: `String`.
    Sysctl { name: String },
    /// Writes a sysctl.
    SetSysctl { name: String, value: String },

    /// Listens on every address: [`Handle`].
    Listen { family: Family, port: u16, backlog: i32, behaviour: Behaviour, options: Vec<SocketOption> },
    /// What became of a listener's connections: `Vec<Served>`, in order of arrival.
    Served { listener: Handle },
    /// As [`Request::Served`], once so many connections have come, or have ended too.
    AwaitServed { listener: Handle, count: usize, ended: bool, seconds: f64 },
    /// The next connection of a manual listener: [`Handle`].
    Accept { listener: Handle, seconds: f64 },
    /// Connects: [`Handle`].
    Connect { family: Family, address: Ipv4Addr, port: u16, options: Vec<SocketOption> },

    /// Sends the next octets of a stream: [`Transfer`].
    Send { handle: Handle, stream: u64, octets: u64, chunk: usize, seconds: f64 },
    /// Receives and verifies so many octets, or all until the end: [`Transfer`].
    Receive { handle: Handle, stream: u64, octets: Option<u64>, chunk: usize, seconds: f64 },
    /// Sends to an echo and receives at the same time: [`Exchanged`].
    Exchange { handle: Handle, stream: u64, octets: u64, chunk: usize, seconds: f64 },
    /// Messages to an echo, one after another: [`RoundTrips`].
    PingPong { handle: Handle, stream: u64, size: usize, count: usize, seconds: f64 },
    /// Looks without taking: [`Transfer`].
    Peek { handle: Handle, stream: u64, octets: usize },
    /// Sends one octet with `MSG_OOB`.
    SendUrgent { handle: Handle, octet: u8 },
    /// Receives one octet with `MSG_OOB`: `u8`.
    ReceiveUrgent { handle: Handle },
    /// Sets an option.
    SetOption { handle: Handle, option: SocketOption },
    /// Shuts one half down, or both.
    Shutdown { handle: Handle, half: Half },
    /// Closes a connection or a listener; answered when `close` returned.
    Close { handle: Handle },
    /// Closes all that is open.
    CloseAll,

    /// Every AF_SMC socket: `Vec<SmcSocket>`.
    SmcSockets,
    /// The AF_SMC socket behind a connection: `Option<SmcSocket>`.
    Diagnose { handle: Handle },
    /// SMC-R link groups: `Vec<LinkGroup>`.
    LinkGroups,
    /// Links of all link groups: `Vec<Link>`.
    Links,
    /// SMC-R statistics since boot: [`Statistics`].
    Statistics,
    /// Fallbacks by reason since boot: `Vec<Fallback>`.
    Fallbacks,
    /// Kernel log from a sequence number on: `Vec<LogLine>`.
    KernelLog { since: u64 },

    /// Starts a second agent as a process of its own: [`Handle`].
    Spawn,
    /// Asks the second agent: what the request yields.
    InChild { child: Handle, request: Box<Request> },
    /// Kills the second agent with SIGKILL.
    Kill { child: Handle },

    /// How many objects of each kind an RDMA device has: `BTreeMap<String, u64>`.
    RdmaObjects { name: String },
    /// Starts another program: [`Handle`].
    BeginProgram { program: String, arguments: Vec<String> },
    /// What a program has said so far: `String`.
    ProgramSaid { handle: Handle },
    /// Asks a program to end (SIGTERM), or ends it (SIGKILL).
    SignalProgram { handle: Handle, kill: bool },
    /// Waits until a program has ended; at the deadline it is killed: [`Ran`].
    AwaitProgram { handle: Handle, seconds: f64 },
    /// Reads a file of the guest, as one in /sys: `String`.
    ReadFile { path: String },
    /// Writes a file of the guest.
    WriteFile { path: String, text: String },
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// All it said, on standard output and standard error.
    pub output: String,
}

/// What one direction of a connection carried.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transfer {
    /// Octets moved.
    pub octets: u64,
    /// Where the data first differed from the stream.
    pub mismatch: Option<u64>,
    /// The peer's end of stream was seen.
    pub end: bool,
    /// What stopped it, if not done; 11 (EAGAIN) is the deadline.
    pub errno: Option<i32>,
    /// How long it took.
    pub seconds: f64,
}

/// Both directions of an exchange with an echo.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Exchanged {
    /// Toward the peer.
    pub sent: Transfer,
    /// From the peer.
    pub received: Transfer,
}

/// Times of messages to an echo and back, in microseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RoundTrips {
    /// How many came back, verified.
    pub count: usize,
    /// What stopped it, if not done.
    pub errno: Option<i32>,
    /// Where the data first differed from the stream.
    pub mismatch: Option<u64>,
    /// The fastest.
    pub min: u64,
    /// Half were faster.
    pub p50: u64,
    /// 99 of 100 were faster.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
}

/// A connection that a listener took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// For [`Request::Diagnose`], until it has ended.
    pub handle: Handle,
    /// The other side, `address:port`.
    pub peer: String,
    /// From the peer.
    pub received: Transfer,
    /// Toward the peer.
    pub sent: Transfer,
    /// The behaviour is through and the socket closed.
    pub ended: bool,
}

/// One entry of `smc_diag`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmcSocket {
    /// Of the socket, as `fstat` gives it.
    pub inode: u64,
    /// `ACTIVE`, `LISTEN`, `PEERCLOSEWAIT1`, ...
    pub state: String,
    /// `SMCR`, `TCP` or `SMCD`; a listener shows `SMCR` too.
    pub mode: String,
    /// Local `address:port`; the port is 0 once the TCP socket is closed.
    pub local: String,
    /// Remote `address:port`.
    pub remote: String,
    /// `(own reason, peer's diagnosis)`, where it fell back.
    pub fallback: Option<(u32, u32)>,
    /// Where it is a connection over SMC-R.
    pub connection: Option<ConnectionInfo>,
    /// Where it has a link.
    pub link: Option<LinkInfo>,
}

/// A wrap count and an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// How often the ring was gone around.
    pub wrap: u16,
    /// Offset in the ring.
    pub count: u32,
}

/// What `smc_diag` says about a connection's rings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the RFC's cursors and flags")]
pub struct ConnectionInfo {
    pub token: u32,
    pub sndbuf: u32,
    pub rmbe: u32,
    pub peer_rmbe: u32,
    pub rx_prod: Cursor,
    pub rx_cons: Cursor,
    pub tx_prod: Cursor,
    pub tx_cons: Cursor,
    pub rx_prod_flags: u8,
    pub rx_state_flags: u8,
    pub tx_prod_flags: u8,
    pub tx_state_flags: u8,
    pub tx_prep: Cursor,
    pub tx_sent: Cursor,
    pub tx_fin: Cursor,
}

/// What `smc_diag` says about a connection's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are smc_diag's")]
pub struct LinkInfo {
    pub link: u8,
    pub device: String,
    pub port: u8,
    pub gid: String,
    pub peer_gid: String,
    /// True at the server.
    pub server: bool,
}

/// One SMC-R link group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkGroup {
    /// Linux's own number.
    pub id: u32,
    /// True at the server.
    pub server: bool,
    /// `none`, `single`, `symmetric`, `asymmetric-peer`, `asymmetric-local`.
    pub kind: String,
    /// Connections.
    pub connections: u32,
    /// The EID agreed on, without padding.
    pub eid: Option<String>,
    /// SMC version, release.
    pub version: Option<(u8, u8)>,
    /// Negotiated limits: connections, links.
    pub limits: Option<(u8, u8)>,
}

/// One link of a link group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The link number.
    pub id: u8,
    /// RDMA device.
    pub device: String,
    /// Own GID.
    pub gid: String,
    /// The peer's GID.
    pub peer_gid: String,
    /// Connections on it.
    pub connections: u32,
    /// 0 unused, 1 inactive, 2 activating, 3 active.
    pub state: u32,
}

/// SMC-R's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the netlink attributes")]
pub struct Statistics {
    pub client_v1: u64,
    pub client_v2: u64,
    pub server_v1: u64,
    pub server_v2: u64,
    pub client_handshake_errors: u64,
    pub server_handshake_errors: u64,
    pub rx_octets: u64,
    pub tx_octets: u64,
    pub rx_count: u64,
    pub tx_count: u64,
    pub cork: u64,
    pub nodelay: u64,
    pub urgent: u64,
}

/// How often connections fell back for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// True at the server.
    pub server: bool,
    /// The reason code.
    pub reason: u32,
    /// How often.
    pub count: u16,
}

/// One record of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number, from 0 at boot.
    pub seq: u64,
    /// 0 emergency to 7 debug.
    pub level: u8,
    /// Microseconds since boot.
    pub micros: u64,
    /// The text, without a line end.
    pub text: String,
}
