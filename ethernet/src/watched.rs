use std::cell::RefCell;

use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;

/// Somebody who looks at every frame of a [`Watched`] device.
pub trait Watch {
    /// A frame that came, when it is looked at.
    fn received(&mut self, time: Instant, frame: &[u8]);

    /// A frame that is about to go. Whoever tests other stations may change it.
    fn sending(&mut self, time: Instant, frame: &mut [u8]);
}

/// A device with somebody who looks at every frame, in and out.
///
/// A frame's time is what [`Device::receive`] or [`Device::transmit`] was told.
#[derive(Debug)]
pub struct Watched<D, W> {
    device: D,
    watch: RefCell<W>,
}

impl<D, W> Watched<D, W> {
    /// Lets `watch` look at every frame of `device`.
    pub const fn over(device: D, watch: W) -> Self {
        Self { device, watch: RefCell::new(watch) }
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// The device; frames taken from it directly are not seen.
    pub const fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Who looks on.
    pub fn watch_mut(&mut self) -> &mut W {
        self.watch.get_mut()
    }

    /// The device, and who looked on.
    pub fn into_device_and_watch(self) -> (D, W) {
        (self.device, self.watch.into_inner())
    }

    pub(crate) const fn watch(&self) -> &RefCell<W> {
        &self.watch
    }
}

impl<D: Device, W: Watch> Device for Watched<D, W> {
    type RxToken<'a>
        = WatchedRxToken<'a, D::RxToken<'a>, W>
    where
        Self: 'a;
    type TxToken<'a>
        = WatchedTxToken<'a, D::TxToken<'a>, W>
    where
        Self: 'a;

    fn receive(&mut self, timestamp: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let watch = &self.watch;
        let (rx, tx) = self.device.receive(timestamp)?;
        let rx = WatchedRxToken { token: rx, watch, timestamp };
        Some((rx, WatchedTxToken { token: tx, watch, timestamp }))
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Self::TxToken<'_>> {
        let token = self.device.transmit(timestamp)?;
        Some(WatchedTxToken { token, watch: &self.watch, timestamp })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A received frame, which is seen when it is looked at.
#[derive(Debug)]
pub struct WatchedRxToken<'a, T, W> {
    token: T,
    watch: &'a RefCell<W>,
    timestamp: Instant,
}

impl<T: phy::RxToken, W: Watch> phy::RxToken for WatchedRxToken<'_, T, W> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| {
            self.watch.borrow_mut().received(self.timestamp, frame);
            f(frame)
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Leave to send a frame, which is seen once it is made.
#[derive(Debug)]
pub struct WatchedTxToken<'a, T, W> {
    token: T,
    watch: &'a RefCell<W>,
    timestamp: Instant,
}

impl<T: phy::TxToken, W: Watch> phy::TxToken for WatchedTxToken<'_, T, W> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.token.consume(len, |frame| {
            let made = f(frame);
            self.watch.borrow_mut().sending(self.timestamp, frame);
            made
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
