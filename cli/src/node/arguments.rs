//! What all nodes are told on the command line, and how they start with it.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use smolsmc::{Config, Eid, Mac, PortConfig, SocketOptions, Stack};
use smolsmc_ethernet::{MAX_MTU, PcapFile, Port};

use super::outlet::Outlet;
use super::rdma::{self, Rdma};
use super::{Cable, Clock, Nic, Node, shm};
use crate::address;
use crate::control::Control;

/// The enterprise id of nodes that were given none: two smolsmc commands find
/// each other, and nobody else.
pub(crate) const DEFAULT_EID: &str = "SMOLSMC";

/// Options that all nodes share.
#[derive(Args, Clone)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeArguments {
    /// Where the Ethernet cable goes: unix:PATH, unix-listen:PATH (a socket in
    /// QEMU's framing), tap:NAME (needs CAP_NET_ADMIN or an interface made for
    /// this user), packet:IFNAME (needs CAP_NET_RAW), or shm:PATH, shm-listen:PATH
    /// (memory shared with another process of this host and user; no privileges).
    /// May be repeated: a link group then has two links, and outlives one of them
    #[arg(long, value_name = "PORT", required = true)]
    link: Vec<String>,

    /// What carries RDMA: soft, a NIC in software whose RoCE frames leave by the
    /// links; or `ibverbs:DEVICE[:PORT[:GID]]`, an RDMA device of this machine as
    /// `smolsmc devices` lists them, once for each link in order. Its RoCE packets
    /// are the kernel's, with the kernel's address; only TCP leaves by --link
    /// packet:IFNAME, with a MAC and an address of its own. Needs a smolsmc that was
    /// built with `--features ibverbs`
    #[arg(long, value_name = "RDMA", default_value = "soft", value_parser = rdma::parse)]
    rdma: Vec<Rdma>,

    /// This host's address and its subnet's prefix length; once or twice, or with
    /// several links once for each, in their order
    #[arg(long, value_name = "ADDR/PREFIX", required = true, value_parser = address::subnet_address)]
    ip: Vec<(IpAddr, u8)>,

    /// The router for other subnets, on the first link
    #[arg(long, value_name = "IP")]
    gateway: Option<Ipv4Addr>,

    /// This host's Ethernet address, for each link in order [default: made from
    /// the IP address]
    #[arg(long, value_parser = address::mac)]
    mac: Vec<Mac>,

    /// Enterprise id, the preferred one first; may be repeated. Hosts without one
    /// in common fall back to TCP
    #[arg(long, value_name = "EID", default_value = DEFAULT_EID, value_parser = address::eid)]
    pub(crate) eid: Vec<Eid>,

    /// Octets of IP in a frame [default: 1500, or what the interface has]
    #[arg(long, value_name = "N")]
    mtu: Option<u16>,

    /// Writes all frames to this file, for `smolsmc decode`; those of a second
    /// link to FILE.2. Over shared memory, and over an RDMA device, RDMA is not made
    /// of our frames: the file has TCP only
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// SMC-R or nothing: a connection that would be TCP is an error
    #[arg(long)]
    strict: bool,

    /// TCP and nothing else: SMC is neither offered nor answered
    #[arg(long, conflicts_with = "strict")]
    tcp: bool,

    /// How to wait: asking again and again, or asleep until something comes
    #[arg(long, value_enum, default_value_t = Mode::Interrupt)]
    mode: Mode,

    /// Makes a socket here, which tells `smolsmc ss` and `smolsmc stats` of this
    /// node
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Results as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a node waits.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Busy,
    Interrupt,
}

impl NodeArguments {
    /// Whether one stack may come after another ([`Node::replace_stack`]).
    ///
    /// # Errors
    /// A sentence, if a link is a wire of shared memory, which ends with its stack.
    pub(crate) fn ensure_replaceable(&self) -> Result<(), String> {
        if !self.link.iter().any(|link| shm::is_wire(link)) {
            return Ok(());
        }
        Err("a wire of shared memory ends with its stack, and this starts a stack after another: \
             --link a socket, a tap or an interface"
            .to_owned())
    }

    /// What a socket of this node wants.
    pub(crate) fn socket_options(&self) -> SocketOptions {
        let mut options = SocketOptions::default();
        options.strict = self.strict;
        options.plain_tcp = self.tcp;
        options
    }

    /// Opens the ports and starts a stack on them; an error is one sentence.
    pub(crate) fn start(&self) -> Result<Node, String> {
        self.start_with(|_| {})
    }

    /// [`NodeArguments::start`] with something changed.
    pub(crate) fn start_with(&self, change: impl FnOnce(&mut Config)) -> Result<Node, String> {
        let stop = stop_on_signals().map_err(|error| format!("signals cannot be handled: {error}"))?;
        let several = self.link.len() > 1;
        if several && self.ip.len() != self.link.len() {
            let (links, given) = (self.link.len(), self.ip.len());
            return Err(format!("{links} links need an --ip each, in the same order; there are {given}"));
        }
        let control = self.control.as_deref().map(Control::listen).transpose()?;
        let clock = Clock::start();
        let wires = self.link.iter().filter(|link| shm::is_wire(link)).count();
        if wires != 0 && wires != self.link.len() {
            return Err("links of one node are all of shared memory, or none of them is".to_owned());
        }
        let devices = rdma::devices(&self.rdma, &self.link)?;
        // Before a port waits for its peer, or says anything.
        rdma::ensure_usable(&devices)?;
        let (stack, outlets) = if wires == 0 {
            let open = |name: &String| Port::open_with_mtu(name, self.mtu).map(Outlet::Port);
            let ports: Result<Vec<_>, _> = self.link.iter().map(open).collect();
            let ports = ports.map_err(|error| error.to_string())?;
            if !devices.is_empty() {
                let passed_over = ports.iter().filter_map(Outlet::port).try_for_each(Port::pass_over_roce);
                passed_over.map_err(|error| format!("the ports cannot leave RoCE to the kernel: {error}"))?;
            }
            let mtus: Vec<_> = ports.iter().map(Outlet::mtu).collect();
            let mut config = self.config(&mtus)?;
            change(&mut config);
            (rdma::stack(&devices, config, clock.now())?, ports)
        } else {
            let mut config = self.config(&vec![self.mtu.unwrap_or(MAX_MTU); wires])?;
            change(&mut config);
            let (nic, ports) = shm::open(&self.link, &mut config, &stop)?;
            let stack = Stack::new(config, Nic::Shm(nic), clock.now()).map_err(|error| error.to_string())?;
            (stack, ports.into_iter().map(|port| Outlet::Shm(port, None)).collect())
        };
        let mut cables = Vec::new();
        for ((name, outlet), number) in self.link.iter().zip(outlets).zip(1..) {
            cables.push(self.cable(name, outlet, number)?);
        }
        for cable in &cables {
            if let Some(reason) = cable.device.device().down_reason() {
                eprintln!("{}: {reason}", cable.name);
            }
        }
        let mut node = Node::new(stack, cables, self.mode, clock, stop);
        node.control = control;
        node.about["devices"] = rdma::names(&devices, self.link.len()).into();
        Ok(node)
    }

    fn cable(&self, name: &str, port: Outlet, number: usize) -> Result<Cable, String> {
        let Some(path) = &self.pcap else { return Ok(Cable::new(name, port, PcapFile::none(), None)) };
        let path = numbered(path, number);
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let file = PcapFile::new(BufWriter::new(file), u64::try_from(epoch).unwrap_or(0));
        Ok(Cable::new(name, port, file, Some(path)))
    }

    /// Another stack for this node; an error is one sentence.
    pub(super) fn stack(&self, config: Config, now: smolsmc::Instant) -> Result<Stack<Nic>, String> {
        rdma::stack(&rdma::devices(&self.rdma, &self.link)?, config, now)
    }

    /// Whether RoCE is made of frames that pass a port of this node.
    pub(crate) fn has_roce_frames(&self) -> bool {
        self.rdma.iter().all(|rdma| *rdma == Rdma::Soft)
    }

    /// What a stack of this node is made from, on ports with these MTUs.
    pub(crate) fn config(&self, mtus: &[u16]) -> Result<Config, String> {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|error| format!("the system has no randomness: {error}"))?;
        let mut config = Config::new(entropy);
        config.eids.clone_from(&self.eid);
        let several = mtus.len() > 1;
        config.max_links = if several { 2 } else { 1 };
        for (index, mtu) in mtus.iter().enumerate() {
            let addresses = if several { self.ip.get(index..=index) } else { self.ip.get(..) };
            let addresses = addresses.unwrap_or_default();
            let first = addresses.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(address, _)| *address);
            let mac = self.mac.get(index).copied().unwrap_or_else(|| address::mac_of(first));
            let mut port = PortConfig::new(mac, *mtu);
            port.addresses = addresses.to_vec();
            port.gateway = self.gateway.filter(|_| index == 0);
            config.ports.push(port);
        }
        Ok(config)
    }
}

/// The file for a link: its number is added from the second on.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Becomes true with SIGINT or SIGTERM; a second one ends the process.
pub(crate) fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
