//! A moment that a task waits for.

use std::pin::Pin;
use std::task::{Context, Poll};

use smolsmc_verbs::Provider;
use smolsmc_wire::Instant;

use crate::executor::Core;

/// Done when its moment has come: [`Core::sleep`].
pub struct Sleep<P: Provider, D> {
    core: Core<P, D>,
    at: Instant,
    /// Its place among the alarms.
    number: Option<u64>,
}

impl<P: Provider, D> Sleep<P, D> {
    pub(crate) const fn new(core: Core<P, D>, at: Instant) -> Self {
        Self { core, at, number: None }
    }
}

impl<P: Provider, D> Future for Sleep<P, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let inner = self.core.0.clone();
        if self.core.now() >= self.at {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            inner.alarms_made.set(inner.alarms_made.get() + 1);
            inner.alarms_made.get()
        });
        inner.alarms.borrow_mut().insert((self.at, number), context.waker().clone());
        Poll::Pending
    }
}

impl<P: Provider, D> Drop for Sleep<P, D> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.core.0.alarms.borrow_mut().remove(&(self.at, number));
        }
    }
}
