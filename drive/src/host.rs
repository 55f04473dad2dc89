//! A stack and its devices, as one thing to drive.

use smolsmc_stack::{PollOutcome, Stack, Wakeup};
use smolsmc_verbs::Provider;
use smolsmc_wire::{Duration, Instant};
use smoltcp::phy::Device;

use crate::wakes::{Fds, Wakes};

/// What a [`Driver`](crate::Driver) drives.
pub trait Drive {
    /// [`Stack::poll`].
    fn poll(&mut self, now: Instant) -> PollOutcome;

    /// [`Stack::poll_at`].
    fn poll_at(&mut self) -> Wakeup;

    /// Asks for a wake-up by all there is. True if something waits already.
    fn arm(&mut self) -> bool;

    /// Asks for a wake-up once `count` messages wait, by [`Drive::counting_fds`]. True if
    /// they do already; `None` if nobody counts, and nothing was asked.
    fn arm_after(&mut self, _count: u16) -> Option<bool> {
        None
    }

    /// What to sleep on after [`Drive::arm_after`].
    fn counting_fds<'a>(&'a mut self, _into: &mut Fds<'a>) {}

    /// How many devices are up.
    fn up(&self) -> usize;

    /// Whether what is to be sent waits for a device that takes nothing now.
    fn wants_write(&self) -> bool;

    /// How long to sleep at most for the provider's and the devices' own sake;
    /// `None` for ever.
    fn timeout(&mut self) -> Option<Duration>;

    /// What to sleep on.
    fn fds<'a>(&'a mut self, into: &mut Fds<'a>);
}

/// A stack, and the devices of its ports in their order.
pub struct Host<P: Provider, D> {
    /// The stack.
    pub stack: Stack<P>,
    /// Lent to each poll.
    pub devices: Vec<D>,
}

impl<P: Provider + Wakes, D: Device + Wakes> Drive for Host<P, D> {
    fn poll(&mut self, now: Instant) -> PollOutcome {
        self.stack.poll(now, &mut self.devices)
    }

    fn poll_at(&mut self) -> Wakeup {
        self.stack.poll_at()
    }

    fn arm(&mut self) -> bool {
        // All of them, whatever the first one says.
        let waits = self.stack.arm() | self.stack.provider_mut().arm();
        self.devices.iter_mut().fold(waits, |waits, device| device.arm() | waits)
    }

    fn arm_after(&mut self, count: u16) -> Option<bool> {
        self.stack.arm_after(count)
    }

    fn counting_fds<'a>(&'a mut self, into: &mut Fds<'a>) {
        let provider: &'a P = self.stack.provider_mut();
        provider.fds(into);
    }

    fn up(&self) -> usize {
        self.devices.iter().filter(|device| device.is_up()).count()
    }

    fn wants_write(&self) -> bool {
        self.devices.iter().any(Wakes::wants_write)
    }

    fn timeout(&mut self) -> Option<Duration> {
        let provider = self.stack.provider_mut().timeout();
        self.devices.iter().filter_map(Wakes::timeout).chain(provider).min()
    }

    fn fds<'a>(&'a mut self, into: &mut Fds<'a>) {
        let provider: &'a P = self.stack.provider_mut();
        provider.fds(into);
        self.devices.iter().for_each(|device| device.fds(into));
    }
}
