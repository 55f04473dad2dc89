//! Names of objects. Handles carry a generation: one that outlived its object
//! is an error, never somebody else's object.

use core::fmt;

macro_rules! handle {
    ($(#[$meta:meta])* $Name:ident, $word:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name {
            index: u32,
            generation: u32,
        }

        impl $Name {
            /// For providers: the object in slot `index` in its `generation`.
            #[must_use]
            pub const fn new(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }

            /// The provider's slot.
            #[must_use]
            pub const fn index(self) -> u32 {
                self.index
            }

            /// Counts how often the slot was used before.
            #[must_use]
            pub const fn generation(self) -> u32 {
                self.generation
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}.{}"), self.index, self.generation)
            }
        }
    };
}

handle! {
    /// A protection domain (IBTA §10.2.3): queue pairs reach only memory
    /// registered in their own.
    PdHandle, "PD"
}
handle! {
    /// A piece of memory, allocated once by the provider.
    MemHandle, "memory"
}
handle! {
    /// A registration of memory in one PD (IBTA §10.6.2).
    MrHandle, "MR"
}
handle! {
    /// A completion queue (IBTA §10.2.6).
    CqHandle, "CQ"
}
handle! {
    /// A queue pair (IBTA §10.2.4).
    QpHandle, "QP"
}

/// A device of a provider. Numbers are not used again after a device is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// A port of a device; the first is 1 (IBTA §3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNumber(pub u8);

/// A port and the device it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RdmaPort {
    /// The device.
    pub device: DeviceId,
    /// The port on it.
    pub port: PortNumber,
}

/// Which of a device's completion vectors notifies: the core that wakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompletionVector(pub u32);
