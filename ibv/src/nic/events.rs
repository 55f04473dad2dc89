#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hardware lives in real time")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smolsmc_verbs::{AsyncEvent, DeviceId, PortNumber, PortState, Provider, RdmaPort};

use super::IbvNic;
use crate::raw::Happened;

/// Between two looks at the descriptors, while nobody arms: a look is a system
/// call for each device, which is too much for each turn of a busy poll.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// What happened and was not fetched yet: each once, so it is bounded by the
/// number of objects. A port's state stands in it as `PortDown` and is told as
/// what it is when it is fetched.
#[derive(Debug, Default)]
pub(super) struct Pending {
    events: VecDeque<AsyncEvent>,
    /// When somebody last looked; `None` if it is time to.
    looked: Option<Instant>,
}

impl Pending {
    pub(super) fn push(&mut self, event: AsyncEvent) {
        if !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    pub(super) fn forget(&mut self, event: AsyncEvent) {
        self.events.retain(|other| *other != event);
    }

    /// Somebody is about to sleep: what wakes it must be looked at.
    pub(super) const fn look_soon(&mut self) {
        self.looked = None;
    }

    fn must_look(&mut self) -> bool {
        let now = Instant::now();
        if self.looked.is_some_and(|then| now.duration_since(then) < BETWEEN_LOOKS) {
            return false;
        }
        self.looked = Some(now);
        true
    }
}

impl IbvNic {
    /// Lets the next [`next_event`](Provider::next_event) look at the system,
    /// however short ago the last look was: for who is about to sleep on the
    /// descriptor, and has no completion queue to arm.
    pub const fn look_soon(&mut self) {
        self.pending.look_soon();
    }

    /// The next thing that happened.
    pub(super) fn fetch_event(&mut self) -> Option<AsyncEvent> {
        if self.pending.must_look() {
            self.look();
        }
        loop {
            let event = self.pending.events.pop_front()?;
            let AsyncEvent::PortDown(port) = event else { return Some(event) };
            match Provider::port(self, port).map(|found| found.state) {
                Ok(PortState::Active) => return Some(AsyncEvent::PortActive(port)),
                Ok(PortState::Down) => return Some(event),
                Err(_) => {}
            }
        }
    }

    /// Fetches what the system has to say.
    fn look(&mut self) {
        let mut lost = Vec::new();
        for (device, id) in self.devices.iter().zip(0..) {
            let Some(open) = device.opened() else { continue };
            let of_port = |port| RdmaPort { device: DeviceId(id), port: PortNumber(port) };
            while let Some(happened) = open.context.next_event() {
                match happened {
                    Happened::Port(port) => self.pending.push(AsyncEvent::PortDown(of_port(port))),
                    Happened::Gids(port) => self.pending.push(AsyncEvent::GidChange(of_port(port))),
                    Happened::QpFatal(place) => {
                        if let Some(qp) = self.traffic.get_mut().has_failed(place) {
                            self.pending.push(AsyncEvent::QpFatal(qp));
                        }
                    }
                    Happened::CqError(place) => {
                        if let Some(cq) = self.traffic.get_mut().cq_at(place) {
                            self.pending.push(AsyncEvent::CqError(cq));
                        }
                    }
                    Happened::DeviceFatal => lost.push(DeviceId(id)),
                    Happened::Other => {}
                }
            }
        }
        if self.uevents.as_ref().is_some_and(super::Uevents::any) {
            let gone =
                self.devices.iter().zip(0..).filter(|(device, _)| device.is_open() && !device.is_present());
            lost.extend(gone.map(|(_, id)| DeviceId(id)));
            self.find_new();
        }
        lost.into_iter().for_each(|id| self.lose(id));
    }

    /// Opens devices that were named and have come (back).
    fn find_new(&mut self) {
        for selector in self.selectors.clone() {
            if let Ok(Some(id)) = self.add(&selector) {
                self.pending.push(AsyncEvent::DeviceAdded(id));
            }
        }
    }
}
