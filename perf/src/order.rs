//! What the two ends tell each other over a socket between blocks: orders one
//! way, reports the other.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use smolsmc_wire::{Qpn, Rkey};

use crate::column::What;
use crate::cores::ProcessorTime;
use crate::fault::Fault;
use crate::raw::Names;

/// What the far end is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Connect all there is: on this core, to this TCP port, with this
    /// adaptive budget in microseconds.
    Begin { core: u64, tcp: u64, spin: u64 },
    /// Be a host of many connections, on this core.
    BeginCrowd { core: u64 },
    /// Serve them until told otherwise.
    Host,
    /// Slots of the bare ring for messages of this size.
    Shape { size: u64 },
    /// Answers cache lines.
    Bounce { times: u64 },
    /// Answers that many round trips.
    Answer { what: What, size: u64, times: u64 },
    /// Answers frames by frames of `size` octets.
    Serve { what: What, size: u64, times: u64 },
    /// Takes what comes one way.
    Take { what: What, size: u64, times: u64 },
    /// Goes to that core.
    Move { core: u64 },
    /// Waits for nothing, for so many milliseconds.
    Idle { what: What, millis: u64 },
    /// The near end has all it wanted.
    Done,
    /// That was all.
    End,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Nanoseconds it took.
    pub(crate) nanos: u64,
    /// Nanoseconds of processor time.
    pub(crate) cpu: u64,
}

const ORDER_LEN: usize = 32;
/// A report: whether it is a sentence, two numbers or the sentence's length.
const REPORT_LEN: usize = 24;
/// Octets of a sentence at most.
const SENTENCE_LEN: usize = 1024;
/// Descriptors that are passed at most: the bare ring's memory, a socket for each
/// wire of shared memory, and two eventfds.
const DESCRIPTORS: usize = 6;

impl Order {
    fn words(self) -> [u64; 4] {
        let of = |kind, what: What, size, times| [kind, what as u64, size, times];
        match self {
            Self::Begin { core, tcp, spin } => [1, core, tcp, spin],
            Self::Shape { size } => [2, size, 0, 0],
            Self::Bounce { times } => [3, times, 0, 0],
            Self::Answer { what, size, times } => of(4, what, size, times),
            Self::Serve { what, size, times } => of(5, what, size, times),
            Self::Take { what, size, times } => of(6, what, size, times),
            Self::Move { core } => [9, core, 0, 0],
            Self::Idle { what, millis } => of(10, what, millis, 0),
            Self::BeginCrowd { core } => [11, core, 0, 0],
            Self::Host => [12, 0, 0, 0],
            Self::Done => [7, 0, 0, 0],
            Self::End => [8, 0, 0, 0],
        }
    }

    fn of([kind, a, b, c]: [u64; 4]) -> Option<Self> {
        let what = What::ALL.into_iter().chain([What::Eventfd]).find(|what| *what as u64 == a);
        Some(match kind {
            1 => Self::Begin { core: a, tcp: b, spin: c },
            2 => Self::Shape { size: a },
            3 => Self::Bounce { times: a },
            4 => Self::Answer { what: what?, size: b, times: c },
            5 => Self::Serve { what: what?, size: b, times: c },
            6 => Self::Take { what: what?, size: b, times: c },
            9 => Self::Move { core: a },
            10 => Self::Idle { what: what?, millis: b },
            11 => Self::BeginCrowd { core: a },
            12 => Self::Host,
            7 => Self::Done,
            8 => Self::End,
            _ => return None,
        })
    }
}

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixStream,
    time: ProcessorTime,
}

fn word(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

impl Control {
    pub(crate) const fn new(socket: UnixStream, time: ProcessorTime) -> Self {
        Self { socket, time }
    }

    /// Nanoseconds of processor time this end has had.
    pub(crate) fn cpu(&self) -> u64 {
        self.time.nanos()
    }

    pub(crate) fn order(&mut self, order: Order) -> Result<(), Fault> {
        let octets: Vec<u8> = order.words().into_iter().flat_map(u64::to_le_bytes).collect();
        self.socket.write_all(&octets).map_err(|_| Fault::Gone)
    }

    pub(crate) fn next_order(&mut self) -> Result<Order, Fault> {
        let mut octets = [0; ORDER_LEN];
        self.socket.read_exact(&mut octets).map_err(|_| Fault::Gone)?;
        let mut words = [0; 4];
        words.iter_mut().zip(octets.chunks(8)).for_each(|(to, octets)| *to = word(octets));
        Order::of(words).ok_or_else(|| Fault::Impossible("an order that makes no sense".to_owned()))
    }

    pub(crate) fn report(&mut self, report: Report) -> Result<(), Fault> {
        self.say([0, report.nanos, report.cpu], "")
    }

    /// Says why there will be no report.
    pub(crate) fn fail(&mut self, sentence: &str) -> Result<(), Fault> {
        let sentence = sentence.get(..SENTENCE_LEN).unwrap_or(sentence);
        self.say([1, sentence.len() as u64, 0], sentence)
    }

    fn say(&mut self, words: [u64; 3], sentence: &str) -> Result<(), Fault> {
        let mut octets: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        octets.extend(sentence.bytes());
        self.socket.write_all(&octets).map_err(|_| Fault::Gone)
    }

    pub(crate) fn next_report(&mut self) -> Result<Report, Fault> {
        let mut octets = [0; REPORT_LEN];
        self.socket.read_exact(&mut octets).map_err(|_| Fault::Gone)?;
        let [kind, nanos, cpu] = [0, 8, 16].map(|at| word(&octets[at..at + 8]));
        if kind == 0 {
            return Ok(Report { nanos, cpu });
        }
        let mut sentence = vec![0; (nanos as usize).min(SENTENCE_LEN)];
        self.socket.read_exact(&mut sentence).map_err(|_| Fault::Gone)?;
        Err(Fault::Far(String::from_utf8_lossy(&sentence).into_owned()))
    }

    /// Whether the other end has said something, or is gone.
    pub(crate) fn has_news(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// Tells how this end is called, and hears the same of the other one.
    pub(crate) fn exchange(&mut self, own: Names) -> Result<Names, Fault> {
        let words = [u64::from(own.qpn.value()), own.iova, u64::from(own.rkey.0)];
        let octets: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        self.socket.write_all(&octets).map_err(|_| Fault::Gone)?;
        let mut octets = [0; 24];
        self.socket.read_exact(&mut octets).map_err(|_| Fault::Gone)?;
        let [qpn, iova, rkey] = [0, 8, 16].map(|at| word(&octets[at..at + 8]));
        Ok(Names { qpn: Qpn::new(qpn as u32), iova, rkey: Rkey(rkey as u32) })
    }

    pub(crate) fn pass(&self, files: &[BorrowedFd<'_>]) -> Result<(), Fault> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(files));
        let sent = sendmsg(&self.socket, &[IoSlice::new(&[1])], &mut ancillary, SendFlags::NOSIGNAL);
        sent.map(drop).map_err(Fault::system("descriptors to pass"))
    }

    pub(crate) fn passed<const N: usize>(&self) -> Result<[OwnedFd; N], Fault> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut one = [0];
        let mut octets = [IoSliceMut::new(&mut one)];
        recvmsg(&self.socket, &mut octets, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .map_err(Fault::system("descriptors that were passed"))?;
        let mut files = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                files.extend(passed);
            }
        }
        files.try_into().map_err(|_| Fault::Impossible("the near end has passed no descriptors".to_owned()))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
