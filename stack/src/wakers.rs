//! Who is woken at the end of a `poll`: whoever asked for it, once.

use core::task::Waker;

use smolsmc_verbs::Provider;

use crate::connection::Connection;
use crate::error::NoSuchListener;
use crate::handle::{ListenerHandle, SocketHandle};
use crate::shared::Shared;
use crate::socket::{Readiness, Socket};
use crate::stack::Stack;

/// Who waits for one connection.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    recv: Option<Waker>,
    send: Option<Waker>,
    /// It stands in the queue of those to be looked at when `poll` ends.
    is_noticed: bool,
}

impl Wakers {
    const fn is_awaited(&self) -> bool {
        self.recv.is_some() || self.send.is_some()
    }

    fn wake(&mut self, readiness: Readiness) {
        self.is_noticed = false;
        let recv = self.recv.take_if(|_| readiness.readable || readiness.urgent);
        let send = self.send.take_if(|_| readiness.writable);
        recv.into_iter().chain(send).for_each(Waker::wake);
    }
}

/// Puts `waker` in a place, without a copy if it is there already.
fn keep(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(known) => known.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

impl<P: Provider> Socket<'_, P> {
    /// Wakes `waker` once, at the end of the [`Stack::poll`] after which
    /// [`Socket::recv`] would not block: by octets, by the end of the stream, by
    /// an error; or [`Socket::recv_urgent`] has an octet. It takes the place of the one registered before. If `recv`
    /// would not block now, the next `poll` wakes it.
    pub fn register_recv_waker(&mut self, waker: &Waker) {
        keep(&mut self.connection.wakers.recv, waker);
        let Readiness { readable, urgent, .. } = self.readiness();
        if readable || urgent {
            self.shared.notice(self.handle, self.connection);
        }
    }

    /// Wakes `waker` once, at the end of the [`Stack::poll`] after which
    /// [`Socket::send`] would not block: when the connection stands, when there
    /// is room, by an error. It takes the place of the one registered before. If
    /// `send` would not block now, the next `poll` wakes it.
    pub fn register_send_waker(&mut self, waker: &Waker) {
        keep(&mut self.connection.wakers.send, waker);
        if self.readiness().writable {
            self.shared.notice(self.handle, self.connection);
        }
    }
}

impl<P: Provider> Stack<P> {
    /// Wakes `waker` once, at the end of the [`Stack::poll`] after which
    /// [`Stack::accept`] finds a connection; of the next one, if there is one
    /// now. It takes the place of the one registered before.
    ///
    /// # Errors
    /// [`NoSuchListener`] for a handle whose listener is gone.
    pub fn register_accept_waker(
        &mut self,
        listener: ListenerHandle,
        waker: &Waker,
    ) -> Result<(), NoSuchListener> {
        let found = self.shared.listeners.get_mut(listener).ok_or(NoSuchListener)?;
        keep(&mut found.waker, waker);
        if !found.ready.is_empty() {
            self.shared.knocked.push_back(listener);
        }
        Ok(())
    }

    /// Wakes those for whom something has become ready.
    pub(crate) fn wake(&mut self) {
        let Self { connections, shared, .. } = self;
        while let Some(handle) = shared.noticed.pop_front() {
            if let Some(connection) = connections.get_mut(handle) {
                let readiness = connection.readiness();
                connection.wakers.wake(readiness);
            }
        }
        while let Some(handle) = shared.knocked.pop_front() {
            let listener = shared.listeners.get_mut(handle).filter(|listener| !listener.ready.is_empty());
            if let Some(waker) = listener.and_then(|listener| listener.waker.take()) {
                waker.wake();
            }
        }
    }
}

impl<P> Shared<P> {
    /// Something happened to a connection: whoever waits for it is looked after
    /// when `poll` ends, and if this was its end, that is told.
    #[inline]
    pub(crate) fn notice(&mut self, handle: SocketHandle, connection: &mut Connection) {
        self.tell_end(handle, connection);
        let wakers = &mut connection.wakers;
        if wakers.is_awaited() && !wakers.is_noticed {
            wakers.is_noticed = true;
            self.noticed.push_back(handle);
        }
    }

    /// A connection waits to be accepted.
    pub(crate) fn notice_listener(&mut self, handle: ListenerHandle) {
        if self.listeners.get(handle).is_some_and(|listener| listener.waker.is_some()) {
            self.knocked.push_back(handle);
        }
    }
}
