//! All ends of one process.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use smolsmc_drive::Mode;
use smolsmc_wire::Duration;

use crate::bare::Bare;
use crate::bells::Bells;
use crate::column::What;
use crate::end::End;
use crate::fault::{Alive, Fault};
use crate::order::{Control, Order, Report};
use crate::ours::{Carrier, Ours, OursOpening};
use crate::raw::{Raw, RawOpening};
use crate::tcp::Tcp;
use crate::threaded::{Threaded, ThreadedOpening};

/// One end of everything.
pub(crate) struct Ends {
    pub(crate) bare: Bare,
    raw: Raw,
    pub(crate) ours: Ours,
    threaded: Threaded,
    tcp: Tcp,
    bells: Bells,
    spin: Duration,
}

impl Ends {
    /// Those of the one who measures: tells the far end to make the others.
    pub(crate) fn near(
        control: &mut Control,
        alive: &Alive,
        core: usize,
        spin: Duration,
    ) -> Result<Self, Fault> {
        let memory = Bare::memory()?;
        let wire = || UnixStream::pair().map_err(Fault::system("a socket pair"));
        let ((raw, far_raw), (ours, far_ours), (threaded, far_threaded)) = (wire()?, wire()?, wire()?);
        let (bell, far_bell) = (Bells::bell()?, Bells::bell()?);
        let (listener, tcp) = Tcp::listen()?;
        control.order(Order::Begin { core: core as u64, tcp: tcp.into(), spin: spin.micros() })?;
        let wires = [far_raw.as_fd(), far_ours.as_fd(), far_threaded.as_fd()];
        control.pass(&[memory.as_fd(), wires[0], wires[1], wires[2], bell.as_fd(), far_bell.as_fd()])?;
        drop((far_raw, far_ours, far_threaded));
        let bare = Bare::new(memory.as_fd(), true, alive)?;
        let (raw, ours) = (RawOpening::greet(1, raw)?, OursOpening::greet(1, ours)?);
        let threaded = ThreadedOpening::greet(1, threaded)?;
        let mut raw = raw.complete(alive)?;
        raw.connect(control.exchange(raw.names()?)?, 2)?;
        let mut ours = ours.complete(alive)?;
        while !ours.join()? {}
        let mut threaded = threaded.complete(alive)?;
        control.order(Order::Done)?;
        let tcp = accepted(&listener, control, alive)?;
        control.next_report()?;
        threaded.join()?;
        let bells = Bells::new(bell, far_bell, alive);
        Ok(Self { bare, raw, ours, threaded, tcp, bells, spin })
    }

    /// The other ends: as [`Order::Begin`] says.
    pub(crate) fn far(control: &mut Control, alive: &Alive, tcp: u64, spin: u64) -> Result<Self, Fault> {
        let [memory, raw, ours, threaded, other_bell, bell] = control.passed()?;
        let bare = Bare::new(memory.as_fd(), false, alive)?;
        let (raw, ours) = (RawOpening::greet(2, raw.into())?, OursOpening::greet(2, ours.into())?);
        let threaded = ThreadedOpening::greet(2, threaded.into())?;
        let mut raw = raw.complete(alive)?;
        raw.connect(control.exchange(raw.names()?)?, 1)?;
        let mut ours = ours.complete(alive)?;
        // The other side may be waiting for an answer still.
        while !ours.join()? || !control.has_news() {}
        control.next_order()?;
        let mut threaded = threaded.complete(alive)?;
        let tcp = Tcp::connect(tcp as u16, alive)?;
        control.report(Report::default())?;
        threaded.join()?;
        let bells = Bells::new(bell, other_bell, alive);
        Ok(Self { bare, raw, ours, threaded, tcp, bells, spin: Duration::from_micros(spin) })
    }

    /// The one that carries it, set to wait as it says.
    pub(crate) fn of(&mut self, what: What) -> Result<&mut dyn End, Fault> {
        if let Some(mode) = what.mode(self.spin) {
            let carrier = if what == What::Smoltcp { Carrier::Tcp } else { Carrier::Smc };
            self.ours.set(carrier, mode);
        }
        self.threaded.set(if what == What::Poller { Mode::Busy } else { Mode::Interrupt })?;
        Ok(match what {
            What::TcpSpin | What::TcpBlock => {
                self.tcp.set_blocking(what == What::TcpBlock)?;
                &mut self.tcp
            }
            What::Bare => &mut self.bare,
            What::Eventfd => &mut self.bells,
            What::VerbsPoll | What::VerbsEvent => {
                self.raw.set_sleeps(what == What::VerbsEvent);
                &mut self.raw
            }
            What::Engine | What::Poller => &mut self.threaded,
            What::Smoltcp | What::Busy | What::Interrupt | What::Adaptive => &mut self.ours,
        })
    }
}

/// The far end's TCP connection, unless it says first that there will be none.
fn accepted(listener: &TcpListener, control: &mut Control, alive: &Alive) -> Result<Tcp, Fault> {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(&*control, PollFlags::IN)];
    poll(&mut fds, None).map_err(Fault::system("a sleep"))?;
    let [listener_ready, _] = fds.map(|fd| fd.revents().contains(PollFlags::IN));
    if !listener_ready {
        control.next_report()?;
    }
    Tcp::accept(listener, alive)
}
