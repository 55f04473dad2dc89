use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use ibverbs_sys as ffi;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{ENODATA, Errno, check, last_errno};

/// The list of devices there are; names and numbers of its entries are the
/// `ibverbs` crate's business.
struct List {
    devices: NonNull<*mut ffi::ibv_device>,
    len: usize,
}

impl List {
    fn new() -> Result<Self, Errno> {
        let mut len = 0;
        // SAFETY: `len` is valid for the write; the result is checked for null.
        let devices = unsafe { ffi::ibv_get_device_list(&raw mut len) };
        let devices = NonNull::new(devices).ok_or_else(last_errno)?;
        Ok(Self { devices, len: usize::try_from(len).unwrap_or(0) })
    }

    fn devices(&self) -> &[*mut ffi::ibv_device] {
        // SAFETY: libibverbs returned an array of `len` pointers, which lives
        // until `ibv_free_device_list` in our drop, and nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.devices.as_ptr(), self.len) }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: from `ibv_get_device_list`, freed once. Devices that were opened
        // stay valid without it.
        unsafe { ffi::ibv_free_device_list(self.devices.as_ptr()) }
    }
}

/// What a context tells outside of any request. Numbers are those given when
/// the object was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// A queue pair went to ERR.
    QpFatal(u32),
    /// A completion queue overflowed.
    CqError(u32),
    /// A port's state may have changed.
    Port(u8),
    /// A port's GIDs changed.
    Gids(u8),
    /// The device is gone.
    DeviceFatal,
    /// Nothing of interest.
    Other,
}

/// An open device.
#[derive(Debug)]
pub(crate) struct Context {
    raw: NonNull<ffi::ibv_context>,
}

// SAFETY: see "Threads" at the top of this module.
unsafe impl Send for Context {}
// SAFETY: likewise.
unsafe impl Sync for Context {}

impl Context {
    /// Opens the device of this name; `None` if there is none.
    pub(crate) fn open(name: &str) -> Option<Result<Self, Errno>> {
        let list = match List::new() {
            Ok(list) => list,
            Err(errno) => return Some(Err(errno)),
        };
        let is_it = |device: &&*mut ffi::ibv_device| {
            ibverbs::Device::from(*device).name().and_then(|text| text.to_str().ok()) == Some(name)
        };
        let device = *list.devices().iter().find(is_it)?;
        Some(Self::of(device))
    }

    fn of(device: *mut ffi::ibv_device) -> Result<Self, Errno> {
        // SAFETY: the device is in a list that is not freed yet.
        let raw = unsafe { ffi::ibv_open_device(device) };
        let context = Self { raw: NonNull::new(raw).ok_or_else(last_errno)? };
        // Nothing may block a poll.
        let fd = context.as_fd();
        let flags = fcntl_getfl(fd).map_err(rustix::io::Errno::raw_os_error)?;
        fcntl_setfl(fd, flags | OFlags::NONBLOCK).map_err(rustix::io::Errno::raw_os_error)?;
        Ok(context)
    }

    pub(crate) const fn raw(&self) -> *mut ffi::ibv_context {
        self.raw.as_ptr()
    }

    /// The name of its character device, as `uverbs0`.
    pub(crate) fn node(&self) -> String {
        // SAFETY: an open context points to its device, whose `dev_name` is an
        // array that libibverbs ends with a NUL.
        let name = unsafe { CStr::from_ptr((*(*self.raw()).device).dev_name.as_ptr()) };
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn completion_vectors(&self) -> u32 {
        // SAFETY: the context is valid; the number never changes.
        let vectors = unsafe { (*self.raw()).num_comp_vectors };
        u32::try_from(vectors).unwrap_or(0).max(1)
    }

    pub(crate) fn query_device(&self) -> Result<ffi::ibv_device_attr, Errno> {
        let mut attributes = ffi::ibv_device_attr::default();
        // SAFETY: the context is valid, and so is the place for the answer.
        check(unsafe { ffi::ibv_query_device(self.raw(), &raw mut attributes) })?;
        Ok(attributes)
    }

    pub(crate) fn query_port(&self, port: u8) -> Result<ffi::ibv_port_attr, Errno> {
        let mut attributes = ffi::ibv_port_attr::default();
        // SAFETY: the context is valid. The function writes the older, shorter form
        // of the structure, which is a prefix of ours; the rest stays zero.
        check(unsafe { ffi::ibv_query_port(self.raw(), port, (&raw mut attributes).cast()) })?;
        Ok(attributes)
    }

    /// An entry of a port's GID table; `None` if it is not used.
    pub(crate) fn query_gid(&self, port: u8, index: u16) -> Result<Option<ibverbs::GidEntry>, Errno> {
        let mut entry = ffi::ibv_gid_entry::default();
        // SAFETY: the context is valid, and so is the place for the answer, whose
        // size is told.
        let code = unsafe {
            let size = size_of::<ffi::ibv_gid_entry>();
            ffi::_ibv_query_gid_ex(self.raw(), port.into(), index.into(), &raw mut entry, 0, size)
        };
        match check(code) {
            Ok(()) => Ok(Some(entry.into())),
            Err(ENODATA) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The next thing that happened, if any.
    pub(crate) fn next_event(&self) -> Option<Happened> {
        let mut event = ffi::ibv_async_event {
            element: ffi::ibv_async_event__bindgen_ty_1 { port_num: 0 },
            event_type: 0,
        };
        // SAFETY: the context is valid; its descriptor does not block, so without
        // an event the call fails and writes nothing.
        if unsafe { ffi::ibv_get_async_event(self.raw(), &raw mut event) } != 0 {
            return None;
        }
        let happened = Self::read(&event);
        // SAFETY: the event that was just got, acknowledged once. Destroying an
        // object waits for this, so it is done before anything else.
        unsafe { ffi::ibv_ack_async_event(&raw mut event) };
        Some(happened)
    }

    fn read(event: &ffi::ibv_async_event) -> Happened {
        match event.event_type {
            ffi::IBV_EVENT_QP_FATAL | ffi::IBV_EVENT_QP_REQ_ERR | ffi::IBV_EVENT_QP_ACCESS_ERR => {
                // SAFETY: for these types the element is a queue pair, and it lives:
                // `ibv_destroy_qp` waits until the event is acknowledged. Its
                // context is the number we gave.
                Happened::QpFatal(unsafe { (*event.element.qp).qp_context.addr() } as u32)
            }
            ffi::IBV_EVENT_CQ_ERR => {
                // SAFETY: as above, for a completion queue.
                Happened::CqError(unsafe { (*event.element.cq).cq_context.addr() } as u32)
            }
            ffi::IBV_EVENT_PORT_ACTIVE | ffi::IBV_EVENT_PORT_ERR => {
                // SAFETY: for these types the element is a port number.
                Happened::Port(unsafe { event.element.port_num } as u8)
            }
            // SAFETY: likewise.
            ffi::IBV_EVENT_GID_CHANGE => Happened::Gids(unsafe { event.element.port_num } as u8),
            ffi::IBV_EVENT_DEVICE_FATAL => Happened::DeviceFatal,
            _ => Happened::Other,
        }
    }
}

impl AsFd for Context {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor of events is open as long as the context is.
        unsafe { BorrowedFd::borrow_raw((*self.raw()).async_fd) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: opened by us, closed once; whatever was made on it held an `Arc`
        // of it and is gone. An error cannot be answered: the library frees its
        // part in any case.
        let _ = unsafe { ffi::ibv_close_device(self.raw()) };
    }
}

/// Names and addresses of network devices, for GIDs that belong to one.
#[derive(Debug)]
pub(crate) struct IfNames(OwnedFd);

impl IfNames {
    pub(crate) fn new() -> Result<Self, Errno> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        Ok(Self(socket.map_err(rustix::io::Errno::raw_os_error)?))
    }

    pub(crate) fn name(&self, index: u32) -> Option<String> {
        (index != 0).then(|| rustix::net::netdevice::index_to_name(&self.0, index).ok()).flatten()
    }

    /// The VLAN of a network device, `None` if it is not one.
    pub(crate) fn vlan(&self, index: u32) -> Option<u16> {
        let text = fs::read_to_string(format!("/proc/net/vlan/{}", self.name(index)?)).ok()?;
        let after = text.split_once("VID: ")?.1;
        after.split_whitespace().next()?.parse().ok()
    }

    /// The Ethernet address of a network device.
    pub(crate) fn mac(&self, index: u32) -> Option<[u8; 6]> {
        let text = fs::read_to_string(format!("/sys/class/net/{}/address", self.name(index)?)).ok()?;
        let mut mac = [0; 6];
        let mut parts = text.trim().split(':');
        for octet in &mut mac {
            *octet = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(mac)
    }
}

/// A null of any type.
pub(super) const fn null<T>() -> *mut T {
    ptr::null_mut()
}
