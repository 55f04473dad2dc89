//! The whole stack on a thread of its own, and an application that blocks on another.

#![expect(clippy::disallowed_types, reason = "here time enters")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use smolsmc_drive::Mode;
use smolsmc_shm::ShmNic;
use smolsmc_threads::{Engine, Options, SmcListener, SmcStream, monotonic};

use crate::end::End;
use crate::fault::{Alive, Fault};
use crate::ours::OursOpening;

const WHAT: &str = "SMC-R on an engine's thread";
/// Octets between an application and its engine, in each direction.
const PIPE: usize = 256 * 1024;
/// Between two questions whether the other end lives.
const LOOKS: Duration = Duration::from_secs(1);
/// How long connecting may take.
const GREETING: Duration = Duration::from_secs(10);

/// One end: an engine, and a stream once it is joined.
pub(crate) struct Threaded {
    engine: Engine<ShmNic>,
    mode: Mode,
    listener: Option<SmcListener>,
    stream: Option<SmcStream>,
    alive: Alive,
}

fn server() -> SocketAddr {
    SocketAddr::from(([10, 9, 0, 2], 5000))
}

/// A wire's end that waits to hear of the other one.
pub(crate) struct ThreadedOpening(u8, OursOpening);

impl ThreadedOpening {
    /// Greets: end 1, which connects, or 2, which listens.
    pub(crate) fn greet(number: u8, socket: UnixStream) -> Result<Self, Fault> {
        Ok(Self(number, OursOpening::greet(number, socket)?))
    }

    /// The end, on a thread that runs where this one does.
    pub(crate) fn complete(self, alive: &Alive) -> Result<Threaded, Fault> {
        let Self(number, opening) = self;
        let mut options = Options::usual();
        (options.inward, options.outward) = (PIPE, PIPE);
        let make = move || opening.host().map_err(|fault| io::Error::other(fault.to_string()));
        let engine = Engine::start(options, monotonic(), make).map_err(Fault::wire(WHAT))?;
        let listener = match number {
            1 => None,
            _ => Some(engine.handle().listen(server()).map_err(Fault::wire(WHAT))?),
        };
        Ok(Threaded { engine, mode: Mode::Interrupt, listener, stream: None, alive: alive.clone() })
    }
}

impl Threaded {
    /// Connects, or accepts: once the other end listens.
    pub(crate) fn join(&mut self) -> Result<(), Fault> {
        let stream = match &self.listener {
            None => self.engine.handle().connect_timeout(server(), GREETING),
            Some(listener) => listener.accept_timeout(GREETING).map(|(stream, _)| stream),
        };
        let stream = stream.map_err(Fault::wire(WHAT))?;
        stream.set_read_timeout(Some(LOOKS)).map_err(Fault::wire(WHAT))?;
        stream.set_write_timeout(Some(LOOKS)).map_err(Fault::wire(WHAT))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// How the engine waits.
    pub(crate) fn set(&mut self, mode: Mode) -> Result<(), Fault> {
        if std::mem::replace(&mut self.mode, mode) != mode {
            self.engine.set_mode(mode).map_err(Fault::wire(WHAT))?;
        }
        Ok(())
    }

    /// Until `step` has moved `all` octets.
    fn all(
        &self,
        all: usize,
        mut step: impl FnMut(&SmcStream, usize) -> io::Result<usize>,
    ) -> Result<(), Fault> {
        let Some(stream) = &self.stream else { return Err(Fault::Gone) };
        let mut moved = 0;
        while moved < all {
            match step(stream, moved) {
                Ok(0) => return Err(Fault::Gone),
                Ok(len) => moved += len,
                Err(error) if error.kind() == ErrorKind::TimedOut => self.alive.check()?,
                Err(error) => return Err(Fault::wire(WHAT)(error)),
            }
        }
        Ok(())
    }
}

impl End for Threaded {
    fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.all(octets.len(), |mut stream, sent| stream.write(&octets[sent..]))
    }

    fn receive(&mut self, octets: &mut [u8]) -> Result<(), Fault> {
        self.all(octets.len(), |mut stream, got| stream.read(&mut octets[got..]))
    }
}
