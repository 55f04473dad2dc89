//! One connection, and what its two ends make of it.

use std::net::SocketAddr;

use smolsmc::{ConnectionError, RecvError, SendError, SocketHandle, SocketOptions, Transport};

use crate::sim::{Lan, Random};

/// What an end means to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    /// Octets it sends.
    pub(super) len: u64,
    /// In how large pieces at most.
    burst: u64,
    /// How often it reads.
    reads: f64,
    piece: u64,
    pub(super) ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Sends all, says so, reads to the end, closes.
    Orderly,
    /// Closes when all is sent, whatever comes in.
    WhenSent,
    /// Closes at this tick.
    CloseAt(u64),
    /// Aborts at this tick.
    AbortAt(u64),
    /// Stays until the end of all.
    Stay,
}

/// What has become of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// It read to the end of the stream before, or the peer has no reason to
    /// miss anything.
    Closed,
    Aborted,
    /// With its host.
    Dead,
    Failed(ConnectionError),
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) life: u32,
    pub(super) handle: Option<SocketHandle>,
    pub(super) script: Script,
    pub(super) sent: u64,
    /// It said that it sends no more.
    pub(super) shut: bool,
    pub(super) received: u64,
    /// It read to the orderly end.
    pub(super) ended: bool,
    pub(super) fate: Fate,
    pub(super) transport: Option<Transport>,
    /// Nobody reads what it sends.
    pub(super) unwanted: bool,
}

#[derive(Debug)]
pub(super) struct Talk {
    /// Client and server.
    pub(super) ends: [End; 2],
    pub(super) number: u64,
    pub(super) client_addr: SocketAddr,
    pub(super) server_addr: SocketAddr,
    pub(super) options: SocketOptions,
}

/// What an end was told that it did not wish for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Error(ConnectionError),
    /// The stream ended in order here.
    End,
}

impl Script {
    pub(super) fn draw(random: &mut Random, ticks: u64) -> Self {
        let len = match random.below(10) {
            0..=1 => 0,
            2..=4 => random.between(1, 500),
            5..=7 => random.between(500, 20_000),
            _ => random.between(20_000, 90_000),
        };
        let at = random.below(ticks);
        let ending = match random.below(12) {
            0..=4 => Ending::Orderly,
            5..=6 => Ending::WhenSent,
            7..=8 => Ending::CloseAt(at),
            9 => Ending::AbortAt(at),
            _ => Ending::Stay,
        };
        let burst = random.pick(&[7, 1000, 5000, 40_000]).max(len / 30);
        let reads = random.pick(&[0.05, 0.3, 0.9]);
        Self { len, burst, reads, piece: random.pick(&[100, 3000, 40_000]).max(len / 30), ending }
    }

    /// From now on it comes to its end, awake.
    pub(super) fn hurry(&mut self) {
        (self.reads, self.piece, self.burst) = (1.0, 40_000, 40_000);
        if matches!(self.ending, Ending::Stay) {
            self.ending = Ending::Orderly;
        }
    }
}

/// Octet `n` of what side `side` of talk `number` sends.
fn pattern(number: u64, side: usize, n: u64) -> u8 {
    let stream = 2 * number + side as u64;
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03);
    (mixed >> 32) as u8
}

impl End {
    pub(super) fn new(host: usize, life: u32, script: Script) -> Self {
        Self {
            host,
            life,
            handle: None,
            script,
            sent: 0,
            shut: false,
            received: 0,
            ended: false,
            fate: Fate::Open,
            transport: None,
            unwanted: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.fate == Fate::Open && self.handle.is_some()
    }

    /// Acts once; what it was told.
    pub(super) fn act(
        &mut self,
        lan: &mut Lan,
        random: &mut Random,
        number: u64,
        side: usize,
        tick: u64,
    ) -> Told {
        let Some(handle) = self.handle.filter(|_| self.is_open()) else { return Told::Nothing };
        let stack = lan.stack(self.host);
        let socket = stack.socket(handle).expect("an open socket is there");
        self.transport = socket.transport().or(self.transport);
        if let Some(error) = socket.error() {
            return self.last_words(lan, number, side, error);
        }
        match self.script.ending {
            Ending::CloseAt(at) if tick >= at => {
                socket.close();
                self.fate = Fate::Closed;
                return Told::Nothing;
            }
            Ending::AbortAt(at) if tick >= at => {
                socket.abort();
                self.fate = Fate::Aborted;
                return Told::Nothing;
            }
            _ => {}
        }
        if !socket.readiness().is_open {
            return Told::Nothing;
        }
        let told = self.send(lan, handle, random, number, side);
        if told != Told::Nothing {
            return told;
        }
        if !self.conclude(lan, handle) && !self.ended && random.chance(self.script.reads) {
            return self.receive(lan, handle, random, number, side);
        }
        Told::Nothing
    }

    fn send(
        &mut self,
        lan: &mut Lan,
        handle: SocketHandle,
        random: &mut Random,
        number: u64,
        side: usize,
    ) -> Told {
        let mut socket = lan.stack(self.host).socket(handle).expect("it is there");
        if self.sent < self.script.len && !self.shut && !self.unwanted {
            let end = self.script.len.min(self.sent + random.between(1, self.script.burst));
            let octets: Vec<u8> = (self.sent..end).map(|n| pattern(number, side, n)).collect();
            match socket.send(&octets) {
                Ok(sent) => self.sent += sent as u64,
                Err(SendError::WouldBlock) => {}
                Err(SendError::PeerClosed) => self.unwanted = true,
                Err(SendError::Over(error)) => return Told::Error(error),
                Err(error) => panic!("talk {number} side {side}: {error}"),
            }
        }
        let done = self.sent == self.script.len || self.unwanted;
        if done && !self.shut && self.script.ending == Ending::Orderly {
            socket.shutdown();
            self.shut = true;
        }
        Told::Nothing
    }

    fn receive(
        &mut self,
        lan: &mut Lan,
        handle: SocketHandle,
        random: &mut Random,
        number: u64,
        side: usize,
    ) -> Told {
        let mut octets = vec![0; random.between(1, self.script.piece) as usize];
        let mut socket = lan.stack(self.host).socket(handle).expect("it is there");
        match socket.recv(&mut octets) {
            Ok(0) => {
                self.ended = true;
                Told::End
            }
            Ok(len) => {
                self.check(&octets[..len], number, side);
                Told::Nothing
            }
            Err(RecvError::WouldBlock) => Told::Nothing,
            Err(RecvError::Over(error)) => Told::Error(error),
            Err(error) => panic!("talk {number} side {side}: {error}"),
        }
    }

    fn check(&mut self, octets: &[u8], number: u64, side: usize) {
        for octet in octets {
            let expected = pattern(number, 1 - side, self.received);
            assert_eq!(*octet, expected, "talk {number} side {side}: octet {}", self.received);
            self.received += 1;
        }
    }

    /// Closes when the script says so.
    fn conclude(&mut self, lan: &mut Lan, handle: SocketHandle) -> bool {
        let sent = self.sent == self.script.len || self.unwanted;
        let done = match self.script.ending {
            Ending::Orderly => self.shut && self.ended,
            Ending::WhenSent => sent,
            _ => false,
        };
        if done {
            self.close(lan, handle);
        }
        done
    }

    fn close(&mut self, lan: &mut Lan, handle: SocketHandle) {
        lan.stack(self.host).socket(handle).expect("it is there").close();
        self.fate = Fate::Closed;
    }

    /// The connection is over: what arrived can still be read.
    fn last_words(&mut self, lan: &mut Lan, number: u64, side: usize, error: ConnectionError) -> Told {
        let Some(handle) = self.handle else { return Told::Nothing };
        let mut octets = [0; 4096];
        loop {
            let mut socket = lan.stack(self.host).socket(handle).expect("it is there");
            match socket.recv(&mut octets) {
                Ok(0) | Err(RecvError::Over(_)) => break,
                Ok(len) => self.check(&octets[..len], number, side),
                Err(told) => panic!("talk {number} side {side}: {told} after {error}"),
            }
        }
        Told::Error(error)
    }

    /// Takes the error for what it is, and closes.
    pub(super) fn fail(&mut self, lan: &mut Lan, error: ConnectionError) {
        if let Some(handle) = self.handle {
            lan.stack(self.host).socket(handle).expect("it is there").close();
        }
        self.fate = Fate::Failed(error);
    }

    /// Closes whatever is open.
    pub(super) fn give_up(&mut self, lan: &mut Lan) {
        if let Some(handle) = self.handle.filter(|_| self.is_open()) {
            self.close(lan, handle);
        }
    }
}
