//! Where connections come in, as tasks know it.

use std::future::poll_fn;
use std::task::Poll;

use smolsmc_stack::{ListenerHandle, NoSuchListener};
use smolsmc_verbs::Provider;

use crate::executor::Core;
use crate::stream::Stream;

/// Takes connections. One task waits at a time: a second one takes the place of the
/// first. Dropped, nothing is listened to any more.
pub struct Listener<P: Provider, D> {
    core: Core<P, D>,
    handle: ListenerHandle,
}

impl<P: Provider, D> Listener<P, D> {
    pub(crate) const fn new(core: Core<P, D>, handle: ListenerHandle) -> Self {
        Self { core, handle }
    }

    /// The next connection whose handshake is done, be it SMC-R or TCP.
    ///
    /// # Errors
    /// [`NoSuchListener`] if somebody has ended it behind its back ([`Core::with`]).
    pub async fn accept(&self) -> Result<Stream<P, D>, NoSuchListener> {
        let handle = poll_fn(|context| {
            self.core.with(|stack| match stack.accept(self.handle) {
                Some(handle) => Poll::Ready(Ok(handle)),
                None => match stack.register_accept_waker(self.handle, context.waker()) {
                    Ok(()) => Poll::Pending,
                    Err(gone) => Poll::Ready(Err(gone)),
                },
            })
        });
        Ok(Stream::new(self.core.clone(), handle.await?))
    }
}

impl<P: Provider, D> Drop for Listener<P, D> {
    fn drop(&mut self) {
        self.core.with(|stack| stack.unlisten(self.handle));
    }
}
