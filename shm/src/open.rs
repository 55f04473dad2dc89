//! How two processes come to share a wire.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smolsmc_wire::Duration;

use crate::config::{Config, MAX_DEVICES, PortConfig};
use crate::error::{ConfigError, OpenError};
use crate::map::Map;
use crate::nic::ShmNic;
use crate::port::ShmPort;
use crate::wire::{Pending, Wire};

/// A NIC in the making: greets a peer on each socket it is given, then hears
/// all of them.
///
/// Greeting does not wait, so that one thread can make both ends.
#[derive(Debug)]
pub struct Opening {
    config: Config,
    data: Arc<Map>,
    file: OwnedFd,
    wires: Vec<(Pending, PortConfig)>,
}

impl Opening {
    /// Makes the memory that the peers will write.
    ///
    /// # Errors
    /// [`OpenError::Config`], [`OpenError::System`].
    pub fn new(config: Config) -> Result<Self, OpenError> {
        config.check()?;
        let len = usize::try_from(config.limits.incoming_octets).unwrap_or(usize::MAX);
        let (data, file) = Map::create("smolsmc-data", len, true)?;
        Ok(Self { config, data: Arc::new(data), file, wires: Vec::new() })
    }

    /// Adds a device whose peer is at the other end of `socket`: a connected
    /// unix stream socket on which nothing was said yet. The peer is greeted.
    ///
    /// All peers of one NIC share its memory: each can write what another may.
    /// Whoever does not trust them all makes a NIC for each.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn greet(&mut self, socket: impl Into<OwnedFd>, port: PortConfig) -> Result<(), OpenError> {
        let layout = self.config.limits.layout();
        port.check(&layout)?;
        if self.wires.len() >= MAX_DEVICES {
            return Err(ConfigError::NoSuch("room for more devices").into());
        }
        let data = (&self.file, self.data.len() as u64);
        self.wires.push((Pending::greet(socket.into(), data, layout, &port)?, port));
        Ok(())
    }

    /// Waits for the peers' greetings, each for `timeout`. The Ethernet devices
    /// are in the order of [`greet`](Self::greet).
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left then.
    pub fn complete(self, timeout: Duration) -> Result<(ShmNic, Vec<ShmPort>), OpenError> {
        let mut wires: Vec<(Arc<Wire>, PortConfig)> = Vec::new();
        for (pending, port) in self.wires {
            wires.push((Arc::new(pending.complete(timeout)?), port));
        }
        let ports = wires.iter().map(|(wire, port)| ShmPort::new(wire, port.ethernet_mtu)).collect();
        Ok((ShmNic::new(&self.config, self.data, &wires), ports))
    }
}

/// Waits for a peer of the same user at a socket named `path`, which is made
/// for it and gone afterwards.
///
/// # Errors
/// [`OpenError`]: also if there is something at `path` already.
pub fn listen(path: &Path, timeout: Duration) -> Result<UnixStream, OpenError> {
    Listener::bind(path)?.accept(timeout)
}

/// A socket with a name at which a peer is awaited, for who has to look at
/// something else in between. The name goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket.
    ///
    /// # Errors
    /// [`OpenError::System`]: also if there is something at `path` already.
    pub fn bind(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { socket: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// Waits for a peer of the same user.
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] after `timeout`, or when a signal came: it can be
    /// called again. Otherwise [`OpenError`].
    pub fn accept(&self, timeout: Duration) -> Result<UnixStream, OpenError> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let tv_sec = i64::try_from(timeout.micros() / 1_000_000).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec, tv_nsec: (timeout.micros() % 1_000_000 * 1000) as _ };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Err(OpenError::TimedOut),
            Ok(_) => of_same_user(self.socket.accept()?.0),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Whoever comes late is refused rather than left waiting.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Connects to who [listens](listen) at `path`.
///
/// # Errors
/// [`OpenError`].
pub fn connect(path: &Path) -> Result<UnixStream, OpenError> {
    of_same_user(UnixStream::connect(path)?)
}

fn of_same_user(stream: UnixStream) -> Result<UnixStream, OpenError> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.uid;
    if peer != rustix::process::geteuid() {
        return Err(OpenError::Stranger(peer.as_raw()));
    }
    Ok(stream)
}
