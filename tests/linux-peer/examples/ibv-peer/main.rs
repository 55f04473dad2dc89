//! Our stack on RDMA devices of the kernel it runs on, as one end of a scenario:
//! an echo, or a client of one. TCP goes through a packet socket with a MAC and
//! an address of our own; RoCE packets are the kernel's, with its GID.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a std edge: it runs in a guest and must keep real deadlines"
)]

mod carry;
mod host;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use smolsmc_ibv::Selector;

use carry::Conversation;
use host::Host;

/// Our stack over libibverbs, in a guest.
#[derive(Parser)]
struct Arguments {
    /// The RDMA device, as DEVICE[:PORT[:GID]]; once for each port.
    #[arg(long, required = true)]
    rdma: Vec<Selector>,
    /// Where TCP goes, as packet:eth0; once for each port.
    #[arg(long, required = true)]
    link: Vec<String>,
    /// Our own address, in a subnet of 24 bits; once for each port.
    #[arg(long, required = true)]
    ip: Vec<Ipv4Addr>,
    /// The enterprise id.
    #[arg(long)]
    eid: String,
    /// Seconds to live on before and after, for somebody who counts objects.
    #[arg(long, default_value_t = 0)]
    linger: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends back what comes, until so many connections have ended.
    Serve {
        port: u16,
        #[arg(long, default_value_t = 1)]
        connections: usize,
    },
    /// Exchanges octets with an echo, over connections that are open at once.
    Connect {
        address: IpAddr,
        port: u16,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        #[arg(long, default_value_t = 1000)]
        octets: u64,
        /// So often, one after the other.
        #[arg(long, default_value_t = 1)]
        cycles: usize,
        #[arg(long, value_enum, default_value_t = Ending::Close)]
        ending: Ending,
        /// Further connections wait until the first one's group has so many links.
        #[arg(long, default_value_t = 1)]
        links: usize,
    },
}

/// How a connection ends after the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ending {
    /// Both ways at once.
    Close,
    /// Our way first; the peer's end is awaited.
    Half,
    /// With a reset.
    Abort,
    /// The peer's failure is awaited, and the socket's error told.
    Fails,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            println!("failed: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let mut host = Host::new(&arguments.rdma, &arguments.link, &arguments.ip, &arguments.eid)?;
    let linger = std::time::Duration::from_secs(arguments.linger);
    println!("ready");
    std::thread::sleep(linger);
    match arguments.command {
        Command::Serve { port, connections } => carry::serve(&mut host, port, connections)?,
        Command::Connect { address, port, connections, octets, cycles, ending, links } => {
            for _ in 0..cycles {
                let remote = SocketAddr::new(address, port);
                Conversation { remote, connections, octets, ending, links }.hold(&mut host)?;
            }
        }
    }
    host.leave()?;
    println!("done");
    std::thread::sleep(linger);
    Ok(())
}
