//! The provider: handles and their generations, limits, the order in which
//! objects end, and what is outstanding.

mod completions;
mod device;
mod events;
mod provider;
mod queue_pair;
mod state;
mod uevents;

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll;
use smolsmc_verbs::{
    AsyncEvent, DeviceId, MemHandle, MemoryUse, MrAttributes, PdHandle, RdmaPort, VerbsError,
};

use crate::Selector;
use crate::raw::{IfNames, Mr, Pages, Pd, Scratch, refusal};
use crate::slots::Slots;
use completions::Traffic;
use device::Device;
pub(crate) use device::read_gid;
use events::Pending;
use uevents::Uevents;

/// Objects of a kind at most, where the device allows more.
const MAX_OBJECTS: u32 = 1 << 20;

/// Why no provider was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No device was named.
    #[error("no RDMA device was named")]
    None,
    /// There is no device of this name.
    #[error("there is no RDMA device {0}")]
    NoDevice(String),
    /// The device has no such port.
    #[error("{device} has {ports} ports, not {port}")]
    NoPort {
        /// The device.
        device: String,
        /// The port that was named.
        port: u8,
        /// How many there are.
        ports: u8,
    },
    /// The system refused to open it, or something that belongs to it.
    #[error("{device} cannot be opened: {}", std::io::Error::from_raw_os_error(*errno))]
    System {
        /// The device.
        device: String,
        /// The system's error number.
        errno: i32,
    },
}

/// A protection domain.
#[derive(Debug)]
struct Domain {
    device: DeviceId,
    /// `None` once the device is gone.
    raw: Option<Arc<Pd>>,
    users: u32,
}

/// A piece of memory.
#[derive(Debug)]
struct Memory {
    pages: Arc<Pages>,
    used_for: MemoryUse,
    users: u32,
}

/// A registration.
#[derive(Debug)]
struct Registration {
    device: DeviceId,
    /// `None` once the device is gone.
    raw: Option<Mr>,
    keys: MrAttributes,
    pd: PdHandle,
    memory: MemHandle,
}

/// RDMA devices of the kernel, as one provider.
///
/// As a file descriptor ([`AsFd`]) it is readable when an armed completion queue
/// has something to poll, or something happened to a port or device.
#[derive(Debug)]
pub struct IbvNic {
    // In this order they end: what is made of something goes before it.
    traffic: RefCell<Traffic>,
    mrs: Slots<Registration>,
    memories: Slots<Memory>,
    pds: Slots<Domain>,
    /// By number; those that are gone stay, closed.
    devices: Vec<Device>,
    selectors: Vec<Selector>,
    names: IfNames,
    pending: Pending,
    uevents: Option<Uevents>,
    scratch: Scratch,
    waiting: OwnedFd,
}

impl IbvNic {
    /// Opens the devices that are named; the first one is
    /// [`DeviceId`] 0, and so on. A device that goes and comes back while this
    /// provider lives gets a new number ([`AsyncEvent::DeviceAdded`]).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(selectors: &[Selector]) -> Result<Self, OpenError> {
        let first = selectors.first().ok_or(OpenError::None)?;
        let system = |errno| OpenError::System { device: first.device.clone(), errno };
        let os = |errno: rustix::io::Errno| system(errno.raw_os_error());
        let waiting = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os)?;
        let uevents = Uevents::open().ok();
        if let Some(uevents) = &uevents {
            watch(&waiting, uevents.as_fd()).map_err(system)?;
        }
        let names = IfNames::new().map_err(system)?;
        let mut nic = Self {
            traffic: RefCell::new(Traffic::new()),
            mrs: Slots::new(MAX_OBJECTS),
            memories: Slots::new(MAX_OBJECTS),
            pds: Slots::new(MAX_OBJECTS),
            devices: Vec::new(),
            selectors: selectors.to_vec(),
            names,
            pending: Pending::default(),
            uevents,
            scratch: Scratch::new(),
            waiting,
        };
        for selector in selectors {
            nic.add(selector)?;
        }
        Ok(nic)
    }

    /// The port that a selector names, as long as its device is there.
    #[must_use]
    pub fn port_of(&self, selector: &Selector) -> Option<RdmaPort> {
        let mut devices = self.devices.iter().zip(0..);
        let (_, number) = devices.find(|(device, _)| device.is_open() && device.name() == selector.device)?;
        Some(RdmaPort { device: DeviceId(number), port: smolsmc_verbs::PortNumber(selector.port) })
    }

    /// The kernel's name of a device.
    #[must_use]
    pub fn name_of(&self, device: DeviceId) -> Option<&str> {
        self.devices.get(device.0 as usize).map(Device::name)
    }

    /// Opens a device, unless it is open already.
    fn add(&mut self, selector: &Selector) -> Result<Option<DeviceId>, OpenError> {
        if self.devices.iter().any(|device| device.is_open() && device.name() == selector.device) {
            return Ok(None);
        }
        let device = Device::open(selector)?;
        for fd in device.descriptors() {
            watch(&self.waiting, fd)
                .map_err(|errno| OpenError::System { device: selector.device.clone(), errno })?;
        }
        self.scratch.fit(device.attributes().max_sge);
        let id = DeviceId(u32::try_from(self.devices.len()).unwrap_or(u32::MAX));
        self.devices.push(device);
        Ok(Some(id))
    }

    /// Ends all that was made on a device, so that the system can let it go. The
    /// handles stay, to be destroyed, and what had completed stays to be polled: a
    /// peer was told that its messages have arrived.
    fn lose(&mut self, id: DeviceId) {
        let Some(device) = self.devices.get_mut(id.0 as usize).filter(|device| device.is_open()) else {
            return;
        };
        self.traffic.get_mut().lose(id);
        for mr in self.mrs.iter_mut().filter(|mr| mr.device == id) {
            mr.raw = None;
        }
        for pd in self.pds.iter_mut().filter(|pd| pd.device == id) {
            pd.raw = None;
        }
        device.close();
        self.pending.push(AsyncEvent::DeviceGone(id));
    }

    fn device_open(&self, id: DeviceId) -> Result<&Device, VerbsError> {
        let device = self.devices.get(id.0 as usize).ok_or(VerbsError::NoSuch("device"))?;
        if device.is_open() { Ok(device) } else { Err(VerbsError::DeviceGone) }
    }

    fn pd(&self, pd: PdHandle) -> Result<&Domain, VerbsError> {
        self.pds.get(pd.index(), pd.generation()).ok_or(VerbsError::NoSuch("PD"))
    }

    fn memory(&self, memory: MemHandle) -> Result<&Memory, VerbsError> {
        self.memories.get(memory.index(), memory.generation()).ok_or(VerbsError::NoSuch("memory"))
    }

    fn leave_pd(&mut self, pd: PdHandle) {
        if let Some(pd) = self.pds.get_mut(pd.index(), pd.generation()) {
            pd.users -= 1;
        }
    }
}

impl AsFd for IbvNic {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waiting.as_fd()
    }
}

/// Lets `waiting` be readable when `fd` is. Closing `fd` ends it.
fn watch(waiting: &OwnedFd, fd: BorrowedFd<'_>) -> Result<(), i32> {
    let data = epoll::EventData::new_u64(0);
    epoll::add(waiting, fd, data, epoll::EventFlags::IN).map_err(rustix::io::Errno::raw_os_error)
}

/// A random address for a registration of `len` octets: aligned to a page as
/// devices want it, not 0, and with all of it below 2^62.
fn random_iova(len: usize) -> Result<u64, VerbsError> {
    const PAGE: u64 = 4096;
    let random = getrandom::u64().map_err(|error| match error.raw_os_error() {
        Some(errno) => refusal(errno, "randomness"),
        None => VerbsError::Exhausted("randomness"),
    })?;
    let room = (1 << 62) - (len as u64).next_multiple_of(PAGE) - PAGE;
    Ok(PAGE + random % room / PAGE * PAGE)
}
