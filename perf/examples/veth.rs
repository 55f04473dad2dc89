//! SMC-R over a NIC in software and a veth pair, beside smoltcp's TCP on the same pair and
//! the kernel's on one of its own (a packet socket would take a copy of each of its
//! frames): two namespaces, a process in each, one run, interleaved blocks.
//!
//! `cargo build --release -p smolsmc-perf --example veth && sudo target/release/examples/veth`
//!
//! Needs root (or `unshare -rn` with `ip netns`), iproute2, and two cores. It makes the
//! namespaces smolsmc-near and smolsmc-far, and removes them.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use smolsmc::{
    Config, Duration, Eid, ListenOptions, ListenerHandle, Mac, PortConfig, RecvError, RmbeSize, SendError,
    SocketHandle, SocketOptions, SoftNic,
};
use smolsmc_drive::{Driver, Host, Mode};
use smolsmc_ethernet::Port;
use smolsmc_perf::{median, pin, quantile, usable};

type Failure = Box<dyn Error>;

const SIZES: [usize; 4] = [64, 1000, 16 << 10, 256 << 10];
const BLOCKS: usize = 9;
const NAMESPACES: [&str; 2] = ["smolsmc-near", "smolsmc-far"];
/// Jumbo frames, as a data centre has them.
const MTU: u16 = 9000;

/// What carries it, and how both ends wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    TcpSpin,
    TcpBlock,
    Smoltcp,
    Busy,
    Interrupt,
}

const ALL: [(What, &str); 5] = [
    (What::TcpSpin, "kernel TCP, spinning"),
    (What::TcpBlock, "kernel TCP, blocking"),
    (What::Smoltcp, "smoltcp TCP on our stack, busy"),
    (What::Busy, "SMC-R, NIC in software, busy"),
    (What::Interrupt, "SMC-R, NIC in software, interrupt"),
];

/// One end: connections of all kinds to the other one.
struct End {
    host: Host<SoftNic, Port>,
    driver: Driver,
    start: Instant,
    /// SMC-R's, and smoltcp's.
    sockets: [Option<SocketHandle>; 2],
    listeners: Vec<ListenerHandle>,
    tcp: TcpStream,
    control: TcpStream,
}

fn ours(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, number + 10], port))
}

fn options(plain_tcp: bool) -> SocketOptions {
    let mut options = SocketOptions::USUAL;
    (options.plain_tcp, options.strict) = (plain_tcp, !plain_tcp);
    options
}

impl End {
    /// End 1, which connects, or 2.
    fn new(number: u8) -> Result<Self, Failure> {
        let mut config = Config::new([number; 32]);
        config.eids.push(Eid::from_ascii("VETH")?);
        let mut port = PortConfig::new(Mac([2, 0, 0, 0, 77, number]), MTU);
        port.addresses.push((ours(number, 0).ip(), 24));
        config.ports.push(port);
        (config.rmb_size, config.send_size) = (RmbeSize::KIB_512, RmbeSize::KIB_512);
        let device = Port::open_with_mtu(&format!("packet:veth{number}"), Some(MTU))?;
        let stack = smolsmc::soft(config, smolsmc::Instant::ZERO)?;
        let kernel = |port| SocketAddr::from(([10, 76, 0, 2], port));
        let connected = |port| match number {
            1 => connect(kernel(port)),
            _ => Ok(TcpListener::bind(kernel(port))?.accept()?.0),
        };
        let (control, tcp) = (connected(7000)?, connected(7001)?);
        tcp.set_nodelay(true)?;
        control.set_nodelay(true)?;
        let driver = Driver::new(Mode::Busy)?;
        let host = Host { stack, devices: vec![device] };
        let (start, sockets) = (Instant::now(), [None; 2]);
        let mut end = Self { host, driver, start, sockets, listeners: Vec::new(), tcp, control };
        end.join(number)?;
        Ok(end)
    }

    fn join(&mut self, number: u8) -> Result<(), Failure> {
        for (place, plain_tcp) in [false, true].into_iter().enumerate() {
            if number == 1 {
                // The other end's listeners stand when it says so.
                self.control.read_exact(&mut [0])?;
                let to = ours(2, 5000 + place as u16);
                self.sockets[place] = Some(self.host.stack.connect(to, options(plain_tcp))?);
            } else {
                let mut wanted = ListenOptions::USUAL;
                wanted.socket = options(plain_tcp);
                let listener = self.host.stack.listen(ours(2, 5000 + place as u16), wanted)?;
                self.listeners.push(listener);
                self.control.write_all(&[0])?;
            }
        }
        while !self.stands()? {
            self.turn()?;
            if self.start.elapsed().as_secs() > 30 {
                return Err("the stacks did not come to a connection".into());
            }
        }
        Ok(())
    }

    fn stands(&mut self) -> Result<bool, Failure> {
        let Self { host, sockets, listeners, .. } = self;
        for (socket, listener) in sockets.iter_mut().zip(listeners) {
            *socket = socket.or_else(|| host.stack.accept(*listener));
        }
        let mut stand = 0;
        for socket in sockets.iter().flatten() {
            let socket = host.stack.socket(*socket)?;
            if let Some(error) = socket.error() {
                return Err(error.into());
            }
            stand += usize::from(socket.transport().is_some());
        }
        Ok(stand == sockets.len())
    }

    fn turn(&mut self) -> Result<(), Failure> {
        let start = self.start;
        let mut clock = || smolsmc::Instant::from_micros(start.elapsed().as_micros() as u64);
        self.driver.turn(&mut self.host, &mut clock, Duration::from_millis(100))?;
        Ok(())
    }

    /// How both ends wait from now on.
    fn set(&mut self, what: What) -> Result<(), Failure> {
        self.driver.set_mode(if what == What::Interrupt { Mode::Interrupt } else { Mode::Busy });
        Ok(self.tcp.set_nonblocking(what == What::TcpSpin)?)
    }

    fn send(&mut self, what: What, octets: &[u8]) -> Result<(), Failure> {
        let mut sent = 0;
        while sent < octets.len() {
            let rest = &octets[sent..];
            sent += match what {
                What::TcpSpin | What::TcpBlock => spun(self.tcp.write(rest))?,
                _ => match self.socket(what)?.send(rest) {
                    Ok(len) => len,
                    Err(SendError::WouldBlock) => 0,
                    Err(error) => return Err(error.into()),
                },
            };
            if sent < octets.len() && !matches!(what, What::TcpSpin | What::TcpBlock) {
                self.turn()?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, what: What, octets: &mut [u8]) -> Result<(), Failure> {
        let mut got = 0;
        while got < octets.len() {
            let rest = &mut octets[got..];
            if matches!(what, What::TcpSpin | What::TcpBlock) {
                got += spun(self.tcp.read(rest))?;
                continue;
            }
            match self.socket(what)?.recv(rest) {
                Ok(0) => return Err("the stream has ended".into()),
                Ok(len) => got += len,
                Err(RecvError::WouldBlock) => self.turn()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn socket(&mut self, what: What) -> Result<smolsmc::Socket<'_, SoftNic>, Failure> {
        let socket = self.sockets[usize::from(what == What::Smoltcp)].ok_or("not connected")?;
        Ok(self.host.stack.socket(socket)?)
    }
}

/// The other process may be a moment later.
fn connect(to: SocketAddr) -> Result<TcpStream, Failure> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed().as_secs() > 10 => return Err(error.into()),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
}

fn spun(moved: std::io::Result<usize>) -> Result<usize, Failure> {
    match moved {
        Ok(len) => Ok(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Answers what it is asked, until the other end is gone.
fn far() -> Result<(), Failure> {
    pin(usable().get(1).copied().unwrap_or_default());
    let mut end = End::new(2)?;
    let mut order = [0; 9];
    while end.control.read_exact(&mut order).is_ok() {
        let [number, a, b, c, d, times @ ..] = order;
        let (what, size) = (ALL[usize::from(number)].0, u32::from_le_bytes([a, b, c, d]));
        let mut octets = vec![0; size as usize];
        end.set(what)?;
        end.control.write_all(&[1])?;
        for _ in 0..u32::from_le_bytes(times) {
            end.receive(what, &mut octets)?;
            end.send(what, &octets)?;
        }
        // What was sent last leaves with another poll.
        end.control.set_nonblocking(true)?;
        while end.control.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            end.host.stack.poll(
                smolsmc::Instant::from_micros(end.start.elapsed().as_micros() as u64),
                &mut end.host.devices,
            );
        }
        end.control.set_nonblocking(false)?;
        if end.control.read_exact(&mut [0]).is_err() {
            break;
        }
    }
    Ok(())
}

/// The median and p99 of `times` round trips, in nanoseconds.
fn block(end: &mut End, number: usize, size: usize, times: u32) -> Result<[f64; 2], Failure> {
    let what = ALL[number].0;
    end.set(what)?;
    let mut order = vec![number as u8];
    order.extend((size as u32).to_le_bytes());
    order.extend(times.to_le_bytes());
    end.control.write_all(&order)?;
    end.control.read_exact(&mut [0])?;
    let (sent, mut back) = (vec![7; size], vec![0; size]);
    let mut nanos = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        end.send(what, &sent)?;
        end.receive(what, &mut back)?;
        nanos.push(begun.elapsed().as_nanos() as f64);
        assert!(back == sent, "other octets came back");
    }
    end.control.write_all(&[0])?;
    Ok([quantile(&mut nanos, 0.5), quantile(&mut nanos, 0.99)])
}

fn near() -> Result<(), Failure> {
    pin(usable().first().copied().unwrap_or_default());
    let mut end = End::new(1)?;
    println!(
        "veth pair of MTU {MTU}; medians of {BLOCKS} blocks; ratios to kernel TCP spinning, block by block"
    );
    for size in SIZES {
        let times = (2000 / (size / 4096 + 1)) as u32;
        let mut blocks = vec![Vec::new(); ALL.len()];
        for round in 0..=BLOCKS {
            eprintln!("{size} octets: block {round} of {BLOCKS}");
            for (number, blocks) in blocks.iter_mut().enumerate() {
                let figures = block(&mut end, number, size, times)?;
                if round > 0 {
                    blocks.push(figures);
                }
            }
        }
        println!("round trip of {size} octets");
        for ((_, name), own) in ALL.iter().zip(&blocks) {
            let of = |at: usize| median(&own.iter().map(|figures| figures[at]).collect::<Vec<_>>());
            let ratios: Vec<_> = own.iter().zip(&blocks[0]).map(|(own, tcp)| own[0] / tcp[0]).collect();
            println!(
                "  {name:34} p50 {:9.2} us   p99 {:9.2} us   {:.3}",
                of(0) / 1e3,
                of(1) / 1e3,
                median(&ratios)
            );
        }
    }
    Ok(())
}

fn ip(words: &str) -> Result<(), Failure> {
    let status = Command::new("ip").args(words.split(' ')).status()?;
    if status.success() { Ok(()) } else { Err(format!("ip {words}: {status}; root is needed").into()) }
}

/// Two namespaces with two cables between them, and this program in each.
fn orchestrate() -> Result<(), Failure> {
    NAMESPACES.iter().try_for_each(|name| ip(&format!("netns add {name}")))?;
    ip("link add veth1 netns smolsmc-near type veth peer name veth2 netns smolsmc-far")?;
    ip("link add tcp1 netns smolsmc-near type veth peer name tcp2 netns smolsmc-far")?;
    for (name, number) in NAMESPACES.iter().zip(1..) {
        ip(&format!("-n {name} link set veth{number} mtu {MTU} promisc on up"))?;
        ip(&format!("-n {name} addr add 10.76.0.{number}/24 dev tcp{number}"))?;
        ip(&format!("-n {name} link set tcp{number} mtu {MTU} up"))?;
    }
    let program = std::env::current_exe()?;
    let start =
        |name: &str, role| Command::new("ip").args(["netns", "exec", name]).arg(&program).arg(role).spawn();
    let mut far = start(NAMESPACES[1], "far")?;
    let measured = start(NAMESPACES[0], "near")?.wait();
    let _ = far.kill();
    let _ = far.wait();
    if measured?.success() { Ok(()) } else { Err("the near end has failed".into()) }
}

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        Some("far") => far(),
        Some("near") => near(),
        _ => {
            let done = orchestrate();
            for name in NAMESPACES {
                let _ = Command::new("ip").args(["netns", "del", name]).status();
            }
            done
        }
    }
}
