//! What is measured side by side.

use std::borrow::Cow;

use smolsmc_drive::Mode;
use smolsmc_wire::Duration;

/// Something that carries octets, and how its ends wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Kernel TCP over loopback, asked again and again.
    TcpSpin,
    /// The same, asleep in read(2) and write(2).
    TcpBlock,
    /// smoltcp's TCP on our stack, over the Ethernet of shared memory.
    Smoltcp,
    /// A bare ring.
    Bare,
    /// RDMA WRITE and SEND, completions polled.
    VerbsPoll,
    /// The same, armed and asleep.
    VerbsEvent,
    /// Our stack that never sleeps.
    Busy,
    /// Our stack that sleeps when nothing is there.
    Interrupt,
    /// Our stack that spins for a while, then sleeps.
    Adaptive,
    /// Our stack on a thread of its own, and an application that blocks on another:
    /// both asleep when nothing is there.
    Engine,
    /// The same with a thread that never sleeps, on the core where the application
    /// does.
    Poller,
    /// Two eventfds, which carry nothing: no column, but what wake-ups are held
    /// against.
    Eventfd,
}

/// How a line is labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// One word, for programs.
    pub id: Cow<'static, str>,
    /// What carries it.
    pub wire: &'static str,
    /// What is on it.
    pub what: Cow<'static, str>,
    /// How it waits.
    pub mode: &'static str,
}

impl What {
    /// All that are columns, in the order they are printed.
    pub const ALL: [Self; 11] = [
        Self::TcpSpin,
        Self::TcpBlock,
        Self::Smoltcp,
        Self::Bare,
        Self::VerbsPoll,
        Self::VerbsEvent,
        Self::Busy,
        Self::Interrupt,
        Self::Adaptive,
        Self::Engine,
        Self::Poller,
    ];

    /// Those that can be measured on so many cores: two ends that spin on one
    /// would wait for each other's time slice.
    #[must_use]
    pub fn measurable(cores: usize) -> Vec<Self> {
        Self::ALL.into_iter().filter(|what| cores > 1 || !what.spins()).collect()
    }

    /// Whether its ends spin while they wait.
    #[must_use]
    pub const fn spins(self) -> bool {
        !matches!(self, Self::TcpBlock | Self::VerbsEvent | Self::Interrupt | Self::Engine | Self::Eventfd)
    }

    /// How it is called.
    #[must_use]
    pub const fn label(self) -> Label {
        let (id, wire, what, mode) = match self {
            Self::TcpSpin => ("tcp-spin", "loopback", "kernel TCP", "spinning"),
            Self::TcpBlock => ("tcp-block", "loopback", "kernel TCP", "blocking"),
            Self::Smoltcp => ("smoltcp", "shm", "smoltcp TCP", "busy"),
            Self::Bare => ("bare", "shm", "bare ring", "spinning"),
            Self::VerbsPoll => ("verbs-poll", "shm", "raw verbs", "polling"),
            Self::VerbsEvent => ("verbs-event", "shm", "raw verbs", "event"),
            Self::Busy => ("busy", "shm", "smolsmc SMC-R", "busy"),
            Self::Interrupt => ("interrupt", "shm", "smolsmc SMC-R", "interrupt"),
            Self::Adaptive => ("adaptive", "shm", "smolsmc SMC-R", "adaptive"),
            Self::Engine => ("engine", "shm", "smolsmc SMC-R", "engine thread"),
            Self::Poller => ("poller", "shm", "smolsmc SMC-R", "poller thread"),
            Self::Eventfd => ("eventfd", "eventfd", "no octets", "poll(2)"),
        };
        Label { id: Cow::Borrowed(id), wire, what: Cow::Borrowed(what), mode }
    }

    /// The one whose [id](Label::id) that is.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.label().id == id)
    }

    /// How our stack waits for it; `None` if it is not our stack.
    pub(crate) const fn mode(self, spin: Duration) -> Option<Mode> {
        match self {
            Self::Smoltcp | Self::Busy => Some(Mode::Busy),
            Self::Interrupt => Some(Mode::Interrupt),
            Self::Adaptive => Some(Mode::Adaptive { spin }),
            _ => None,
        }
    }
}
