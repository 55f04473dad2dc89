//! What every provider must do, as cases that run on any of them.
//!
//! ```text
//!   Rig: two sides that reach each other       near NIC <~~~~> far NIC
//!     nic, port, path     who and where             step: time and frames move on
//!     can, disturb        what this kind of provider, or its rig, cannot do
//!   cases() --Case::run--> Passed | Skipped(ability) | Failed(case, step, expectation)
//! ```
//!
//! A case knows nothing but [`Provider`]: the NIC in software, memory shared
//! between processes and hardware run the very same ones. Each case wants a
//! rig of its own, fresh. Whatever is compared is compared exactly, except
//! where IBTA leaves a choice.
//!
//! # Example
//! ```
//! use smolsmc_verbs::conformance::{Outcome, Rig, cases};
//!
//! fn failures<R: Rig>(mut fresh: impl FnMut() -> R) -> usize {
//!     let outcomes = cases().into_iter().map(|case| case.run(&mut fresh()));
//!     outcomes.filter(|outcome| matches!(outcome, Outcome::Failed(_))).count()
//! }
//! ```

mod access;
mod bench;
mod completions;
mod errors;
mod events;
mod failure;
mod local;
mod many;
mod memory;
mod notify;
mod now;
mod objects;
mod read;
mod rnr;
mod send;
mod states;
mod write;

use alloc::vec::Vec;
use core::fmt;

use smolsmc_wire::{Duration, Instant};

use crate::{AddressVector, Provider, QpHandle, RdmaPort};

pub use failure::{Failure, FailureKind};

/// One of the two that talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one a case mostly looks from.
    Near,
    /// Its peer.
    Far,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// What a kind of provider, or the rig around it, may legitimately lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// RDMA READ.
    Read,
    /// RDMA WRITE with immediate.
    WriteWithImmediate,
    /// To refuse a message nobody posted a receive for, and to count retries.
    ReceiverNotReady,
    /// To notice a peer that is silent.
    SilentPeer,
    /// A second device on each side, whose ports reach each other too.
    SecondDevice,
    /// The rig can take a port down and up: [`Disturbance::PortDown`].
    PortControl,
    /// The rig can take a device away: [`Disturbance::DeviceRemoved`].
    DeviceRemoval,
    /// The rig can let a queue pair fail: [`Disturbance::QpFails`].
    QpFailure,
    /// The rig can let registrations fail: [`Disturbance::RegistrationsRefused`].
    RegistrationRefusal,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "no RDMA READ",
            Self::WriteWithImmediate => "no RDMA WRITE with immediate",
            Self::ReceiverNotReady => "no RNR",
            Self::SilentPeer => "a silent peer is not noticed",
            Self::SecondDevice => "no second device",
            Self::PortControl => "ports cannot be taken down",
            Self::DeviceRemoval => "devices cannot be taken away",
            Self::QpFailure => "queue pairs cannot be made to fail",
            Self::RegistrationRefusal => "registrations cannot be made to fail",
        })
    }
}

/// What a rig does to a provider from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disturbance {
    /// The port loses its carrier.
    PortDown(Side, usize),
    /// The port has its carrier again.
    PortUp(Side, usize),
    /// The device is unplugged.
    DeviceRemoved(Side, usize),
    /// The queue pair goes to ERR by itself.
    QpFails(Side, QpHandle),
    /// So many registrations from now on are refused, whatever they are.
    RegistrationsRefused(Side, u32),
}

/// Two sides that reach each other; either may be the same provider.
pub trait Rig {
    /// The provider under test.
    type Provider: Provider;

    /// A side's provider.
    fn nic(&mut self, side: Side) -> &mut Self::Provider;

    /// A side's port `index`: 0, and 1 on another device if there is
    /// [`Ability::SecondDevice`]. Ports of one index reach each other.
    fn port(&self, side: Side, index: usize) -> RdmaPort;

    /// How `side` reaches its peer's port of the same index.
    fn path(&self, side: Side, index: usize) -> AddressVector;

    /// Moves frames, and time with them; hardware and shared memory just yield
    /// for a moment. Time moves even if nothing else is to be done.
    fn step(&mut self);

    /// The time: as simulated, or the clock's.
    fn now(&self) -> Instant;

    /// Whether the provider, or this rig, can do it.
    fn can(&self, ability: Ability) -> bool;

    /// Does it; called only for what it [can](Self::can).
    fn disturb(&mut self, what: Disturbance);

    /// Whether frames may be lost. Then so may the one NAK that says why a
    /// request failed, and all its sender hears is silence.
    fn loses(&self) -> bool {
        false
    }

    /// How long to wait for what must happen.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    /// How long to wait for what must not happen.
    fn settling(&self) -> Duration {
        Duration::from_millis(40)
    }
}

/// On which wires a case makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Also on one that loses, repeats, reorders and corrupts frames.
    Any,
    /// Only on one that does not: retries are few, or counted.
    Clean,
}

/// One thing every provider must do.
pub struct Case<R> {
    /// Its name: room and sentence.
    pub name: &'static str,
    /// On which wires it makes sense.
    pub wire: Wire,
    /// Without these it is skipped.
    pub needs: &'static [Ability],
    run: fn(&mut R) -> Result<(), Failure>,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As the contract says.
    Passed,
    /// The rig lacks what the case needs.
    Skipped(Ability),
    /// Otherwise.
    Failed(Failure),
}

impl<R: Rig> Case<R> {
    /// Runs it on a fresh rig.
    pub fn run(&self, rig: &mut R) -> Outcome {
        if let Some(lacking) = self.needs.iter().find(|ability| !rig.can(**ability)) {
            return Outcome::Skipped(*lacking);
        }
        match (self.run)(rig) {
            Ok(()) => Outcome::Passed,
            Err(failure) => Outcome::Failed(Failure { case: self.name, ..failure }),
        }
    }
}

/// All cases.
#[must_use]
pub fn cases<R: Rig>() -> Vec<Case<R>> {
    let mut all = Vec::new();
    all.extend(objects::cases());
    all.extend(memory::cases());
    all.extend(states::cases());
    all.extend(send::cases());
    all.extend(write::cases());
    all.extend(now::cases());
    all.extend(read::cases());
    all.extend(access::cases());
    all.extend(local::cases());
    all.extend(completions::cases());
    all.extend(notify::cases());
    all.extend(rnr::cases());
    all.extend(errors::cases());
    all.extend(events::cases());
    all.extend(many::cases());
    all
}

/// Lists cases: `wire "name" [needs] function`.
macro_rules! list {
    ($($wire:ident $name:literal $([$($need:ident),*])? $run:path;)*) => {
        [$($crate::conformance::Case {
            name: $name,
            wire: $crate::conformance::Wire::$wire,
            needs: &[$($($crate::conformance::Ability::$need),*)?],
            run: $run,
        }),*]
    };
}
use list;
