//! A scenario, and what it finds when it begins.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::plug::Plug;
use crate::{Error, Guest, Result, Wire};

/// How long a scenario may take before the whole run is given up.
const LIMIT: Duration = Duration::from_secs(300);

/// Does something with guests; returns what carried the data, as `SMC-R` or `TCP 0x03030000`.
type Run = Box<dyn Fn(&Stage<'_>) -> Result<String>>;

/// Who is connected with whom when a scenario begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// Two guests, with a wire between their first NICs, and one between each other two.
    Pair,
    /// One guest; nobody is connected to its NIC's socket yet.
    Alone,
}

/// Something that must hold.
pub struct Scenario {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) topology: Topology,
    pub(crate) nics: u8,
    pub(crate) slow: bool,
    pub(crate) spoils: bool,
    pub(crate) refused: bool,
    pub(crate) anywhere: bool,
    pub(crate) elsewhere: bool,
    pub(crate) limit: Duration,
    pub(crate) run: Run,
}

impl Scenario {
    fn new(name: &str, role: &str, topology: Topology, run: Run) -> Self {
        let (name, role) = (name.to_owned(), role.to_owned());
        Self {
            name,
            role,
            topology,
            nics: 1,
            slow: false,
            spoils: false,
            refused: false,
            anywhere: false,
            elsewhere: false,
            limit: LIMIT,
            run,
        }
    }

    /// Two guests wired together. `role` says who is what, for the table.
    pub fn pair(name: &str, role: &str, run: impl Fn(&Stage<'_>) -> Result<String> + 'static) -> Self {
        Self::new(name, role, Topology::Pair, Box::new(run))
    }

    /// One guest, whose NIC's socket the scenario connects to ([`Guest::nic`]).
    pub fn alone(name: &str, role: &str, run: impl Fn(&Stage<'_>) -> Result<String> + 'static) -> Self {
        Self::new(name, role, Topology::Alone, Box::new(run))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who is what.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Each guest has so many NICs, with an rxe device and an address on each.
    #[must_use]
    pub fn with_nics(mut self, nics: u8) -> Self {
        self.nics = nics;
        self
    }

    /// Left out of a short run.
    #[must_use]
    pub fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// True if a short run leaves it out.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    /// True if it is of use against other kernels only.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// The guests are of no use afterwards: the next scenario gets new ones.
    #[must_use]
    pub fn spoils_guests(mut self) -> Self {
        self.spoils = true;
        self
    }

    /// A link of ours fails while the guest has SENDs on it, which our NIC refuses
    /// once the path is back; rxe says so in the kernel's log.
    #[must_use]
    pub fn is_refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// Holds against kernels other than the usual one too.
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }

    /// Is of use against other kernels only.
    #[must_use]
    pub fn elsewhere(mut self) -> Self {
        (self.anywhere, self.elsewhere) = (true, true);
        self
    }

    /// May take longer than five minutes.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// What a scenario finds: guests that are set up, idle and reset.
pub struct Stage<'a> {
    pub(crate) guests: &'a [Guest],
    /// Of each guest, one for each NIC.
    pub(crate) plugs: &'a [Vec<Plug>],
    /// Between two guests, one for each NIC.
    pub(crate) wires: &'a [Wire],
    pub(crate) folder: &'a Path,
    pub(crate) port: &'a Cell<u16>,
}

/// The UEID that guests have when a scenario begins.
pub(crate) const UEID: &str = "LABEID";

impl Stage<'_> {
    /// Guest number 0 or 1.
    ///
    /// # Errors
    ///
    /// If the scenario has no such guest.
    pub fn guest(&self, number: usize) -> Result<&Guest> {
        self.guests.get(number).ok_or_else(|| Error::Scenario(format!("there is no guest {number}")))
    }

    /// Plugs an end into a guest's NIC, in place of the wire.
    ///
    /// # Errors
    ///
    /// If the scenario has no such guest, or the guest no such NIC.
    pub fn attach(&self, number: usize, nic: usize) -> Result<UnixStream> {
        let plug = self.plugs.get(number).and_then(|plugs| plugs.get(nic));
        plug.ok_or_else(|| Error::Scenario(format!("there is no NIC {nic} of guest {number}")))?.attach()
    }

    /// The wire between both guests' first NICs.
    ///
    /// # Errors
    ///
    /// If the scenario has one guest only.
    pub fn wire(&self) -> Result<&Wire> {
        self.wires.first().ok_or_else(|| Error::Scenario("there is no wire".to_owned()))
    }

    /// The address of a guest's `eth0`; a prefix of 24 bits goes with it.
    #[must_use]
    pub fn address(number: usize) -> Ipv4Addr {
        Self::nic_address(number, 0)
    }

    /// The address of a guest's NIC, all in one network.
    #[must_use]
    pub fn nic_address(number: usize, nic: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, (nic * 10 + number) as u8 + 1)
    }

    /// An address in the same network that no guest has; those after it are free too.
    #[must_use]
    pub fn free_address() -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, 100)
    }

    /// The UEID that guests have.
    #[must_use]
    pub fn ueid() -> &'static str {
        UEID
    }

    /// A port that no scenario of this run had.
    #[must_use]
    pub fn fresh_port(&self) -> u16 {
        self.port.replace(self.port.get() + 1)
    }

    /// Where captures are, and where a scenario may leave traces: kept if it fails.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder
    }
}

/// Fails a scenario, with what was seen, unless `holds`.
///
/// # Errors
///
/// [`Error::Scenario`].
pub fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Scenario(seen())) }
}
