//! Our whole stack over a device of the kernel, driven by this thread.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use smolsmc::{
    Config, Duration, Eid, ListenOptions, Mac, PortConfig, RecvError, SendError, SocketHandle, SocketOptions,
    Stack,
};
use smolsmc_drive::{Drive, Driver, Host, Mode};
use smolsmc_ethernet::Port;
use smolsmc_ibv::{IbvNic, Selector};

use crate::work::End;

/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Ours {
    host: Host<IbvNic, Port>,
    driver: Driver,
    start: Instant,
    socket: Option<SocketHandle>,
}

fn now(start: Instant) -> smolsmc::Instant {
    smolsmc::Instant::from_micros(start.elapsed().as_micros() as u64)
}

impl Ours {
    pub(crate) fn open(rdma: &Selector, link: &str, ip: Ipv4Addr, mode: Mode) -> Result<Self, String> {
        let nic = IbvNic::open(std::slice::from_ref(rdma)).map_err(|error| error.to_string())?;
        let mut entropy = [0; 32];
        let filled = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut entropy));
        filled.map_err(|error| format!("randomness: {error}"))?;
        let mut config = Config::new(entropy);
        config.eids.push(Eid::from_ascii("LATENCY").map_err(|error| error.to_string())?);
        let link = Port::open(link).map_err(|error| error.to_string())?;
        link.pass_over_roce()
            .map_err(|error| format!("the port cannot leave RoCE to the kernel: {error}"))?;
        let [a, b, c, d] = ip.octets();
        let mut port = PortConfig::new(Mac([2, 0, a, b, c, d]), link.mtu());
        port.addresses.push((ip.into(), 24));
        port.rdma = nic.port_of(rdma);
        config.ports.push(port);
        let stack = Stack::new(config, nic, smolsmc::Instant::ZERO).map_err(|error| error.to_string())?;
        let driver = Driver::new(mode).map_err(|error| format!("descriptors: {error}"))?;
        let host = Host { stack, devices: vec![link] };
        Ok(Self { host, driver, start: Instant::now(), socket: None })
    }

    /// Connects to the echo, or waits for its client; SMC-R or nothing.
    pub(crate) fn meet(&mut self, echo: SocketAddrV4, connects: bool) -> Result<(), String> {
        let mut options = SocketOptions::default();
        options.strict = true;
        let listener = if connects {
            let socket = self.host.stack.connect(echo.into(), options);
            self.socket = Some(socket.map_err(|error| format!("cannot connect: {error}"))?);
            None
        } else {
            let mut listen = ListenOptions::USUAL;
            listen.socket = options;
            let local = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, echo.port());
            let listener = self.host.stack.listen(local.into(), listen).map_err(|error| error.to_string())?;
            println!("listening");
            Some(listener)
        };
        self.until("a connection", |ours| {
            let stack = &mut ours.host.stack;
            ours.socket = ours.socket.or_else(|| listener.and_then(|listener| stack.accept(listener)));
            let Some(socket) = ours.socket else { return Ok(false) };
            let socket = stack.socket(socket).map_err(|error| error.to_string())?;
            match socket.error() {
                Some(error) => Err(error.to_string()),
                None => Ok(socket.transport().is_some()),
            }
        })
    }

    pub(crate) fn carrier(&mut self) -> String {
        let socket = self.socket.and_then(|socket| self.host.stack.socket(socket).ok());
        socket.and_then(|socket| socket.transport()).map_or_else(String::new, |what| what.to_string())
    }

    fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        let end = now(self.start) + PATIENCE;
        while !done(self)? {
            if end.since(now(self.start)) == Duration::ZERO {
                return Err(format!("{what}: nothing in {} s", PATIENCE.micros() / 1_000_000));
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Moves the stack forward, and waits as the mode says.
    fn turn(&mut self) -> Result<(), String> {
        let start = self.start;
        let turn = self.driver.turn(&mut self.host, &mut || now(start), Duration::from_secs(1));
        turn.map(drop).map_err(|error| format!("a sleep: {error}"))
    }

    /// Ends everything in order.
    pub(crate) fn leave(&mut self) -> Result<(), String> {
        if let Some(socket) = self.socket.and_then(|socket| self.host.stack.socket(socket).ok()) {
            socket.close();
        }
        self.until("the end of the connection", |ours| Ok(!ours.host.stack.has_connections()))?;
        self.host.stack.leave();
        self.until("the end of the link group", |ours| Ok(ours.host.stack.is_idle()))
    }
}

impl End for Ours {
    fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        let handle = self.socket.ok_or("there is no connection")?;
        let mut sent = 0;
        loop {
            let mut socket = self.host.stack.socket(handle).map_err(|error| error.to_string())?;
            match socket.send(&octets[sent..]) {
                Ok(len) => sent += len,
                Err(SendError::WouldBlock) => {}
                Err(error) => return Err(error.to_string()),
            }
            if sent == octets.len() {
                let now = now(self.start);
                self.host.poll(now);
                return Ok(());
            }
            self.turn()?;
        }
    }

    fn receive(&mut self, octets: &mut [u8]) -> Result<(), String> {
        let handle = self.socket.ok_or("there is no connection")?;
        let mut got = 0;
        loop {
            let mut socket = self.host.stack.socket(handle).map_err(|error| error.to_string())?;
            match socket.recv(&mut octets[got..]) {
                Ok(0) => return Err("the stream ended".to_owned()),
                Ok(len) => got += len,
                Err(RecvError::WouldBlock) => {}
                Err(error) => return Err(error.to_string()),
            }
            if got == octets.len() {
                return Ok(());
            }
            self.turn()?;
        }
    }
}
