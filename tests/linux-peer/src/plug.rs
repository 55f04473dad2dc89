//! The one connection with a guest's NIC, for as long as the guest lives: with a
//! netdev that nobody is connected to, QEMU 7.2 was seen to end in SIGSEGV.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::{Error, Result, frames};

/// Where the guest's frames go now.
type Attached = Arc<Mutex<Option<UnixStream>>>;

/// A guest's NIC, into which one end at a time is plugged.
pub struct Plug {
    guest: UnixStream,
    attached: Attached,
}

impl Plug {
    /// Connects with the NIC whose socket listens at `nic`.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn new(nic: &Path) -> Result<Self> {
        let name = || nic.display().to_string();
        let guest = UnixStream::connect(nic).map_err(Error::io(name()))?;
        let attached = Attached::default();
        let mut from = guest.try_clone().map_err(Error::io(name()))?;
        let to = attached.clone();
        thread::spawn(move || {
            let mut frame = Vec::new();
            while frames::read(&mut from, &mut frame).unwrap_or(false) {
                // Nobody is plugged in, or has just gone: the frame is lost, as on a cable.
                if let Some(end) = lock(&to).as_mut() {
                    let _ = frames::write(end, &frame);
                }
            }
            if let Some(end) = lock(&to).take() {
                let _ = end.shutdown(Shutdown::Both);
            }
        });
        Ok(Self { guest, attached })
    }

    /// Plugs a new end in, in place of the old one.
    ///
    /// # Errors
    ///
    /// If the system has no more sockets.
    pub fn attach(&self) -> Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair().map_err(Error::io("a pair of sockets"))?;
        let mut from = ours.try_clone().map_err(Error::io("a pair of sockets"))?;
        let mut to = self.guest.try_clone().map_err(Error::io("a pair of sockets"))?;
        if let Some(old) = lock(&self.attached).replace(ours) {
            let _ = old.shutdown(Shutdown::Both);
        }
        let attached = self.attached.clone();
        thread::spawn(move || {
            let mut frame = Vec::new();
            while frames::read(&mut from, &mut frame).unwrap_or(false) {
                if frames::write(&mut to, &frame).is_err() {
                    break;
                }
            }
            // What the guest sends to one that has gone must not fill a buffer.
            let mut end = lock(&attached);
            if end.as_ref().is_some_and(|end| end.peer_addr().is_err()) {
                *end = None;
            }
        });
        Ok(theirs)
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        let _ = self.guest.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
