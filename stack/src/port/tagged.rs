//! A port in a VLAN: smoltcp knows no tags, so that they come and go here. RoCE
//! frames have theirs from the NIC.

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

/// Octets of both Ethernet addresses.
const ADDRESSES: usize = 12;

/// Octets of a tag (IEEE 802.1Q): its EtherType, and 16 bits.
pub(crate) const TAG_LEN: usize = 4;

const TPID: [u8; 2] = [0x81, 0x00];

/// The longest frame whose tag is taken off: smoltcp's, with an Ethernet MTU of
/// 9000.
const FRAME_MAX: usize = 9018;

/// What a frame is for a port with or without a VLAN.
#[expect(clippy::large_enum_variant, reason = "written for ports in a VLAN only; a box would allocate")]
pub(crate) enum Untagged<'f> {
    /// It had no tag, as is right.
    Plain(&'f [u8]),
    /// Its tag was this port's, or spoke of priority only, and is gone.
    Stripped([u8; FRAME_MAX], usize),
    /// It is of another VLAN, or of one where there is none.
    Foreign,
}

/// Takes the tag off a frame for a port in `vlan`. Priority is passed over; a tag
/// that tells nothing else (VID 0, IEEE 802.1Q §9.6) is as none.
pub(crate) fn untag(frame: &[u8], vlan: Option<u16>) -> Untagged<'_> {
    let tag = match frame.get(ADDRESSES..ADDRESSES + TAG_LEN) {
        Some(&[a, b, c, d]) if [a, b] == TPID => Some(u16::from_be_bytes([c, d]) & 0x0fff),
        _ => None,
    };
    let Some(tag) = tag else {
        return if vlan.is_none() { Untagged::Plain(frame) } else { Untagged::Foreign };
    };
    let (Some(addresses), Some(rest)) = (frame.get(..ADDRESSES), frame.get(ADDRESSES + TAG_LEN..)) else {
        return Untagged::Foreign;
    };
    let mut plain = [0; FRAME_MAX];
    let len = ADDRESSES + rest.len();
    let Some(out) = plain.get_mut(..len).filter(|_| tag == vlan.unwrap_or(0)) else {
        return Untagged::Foreign;
    };
    let (head, tail) = out.split_at_mut(ADDRESSES);
    head.copy_from_slice(addresses);
    tail.copy_from_slice(rest);
    Untagged::Stripped(plain, len)
}

/// A device whose frames get this port's tag.
pub(crate) struct Tagged<'d, D> {
    device: &'d mut D,
    vlan: Option<u16>,
}

impl<'d, D> Tagged<'d, D> {
    pub(crate) const fn new(device: &'d mut D, vlan: Option<u16>) -> Self {
        Self { device, vlan }
    }
}

impl<D: Device> Device for Tagged<'_, D> {
    type RxToken<'a>
        = Nothing
    where
        Self: 'a;
    type TxToken<'a>
        = WithTag<D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Nothing, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let vlan = self.vlan;
        self.device.transmit(now).map(|token| WithTag { token, vlan })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// Permission to send one frame, which gets the tag.
pub(crate) struct WithTag<T> {
    pub(crate) token: T,
    pub(crate) vlan: Option<u16>,
}

impl<T: TxToken> TxToken for WithTag<T> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Some(vid) = self.vlan else { return self.token.consume(len, f) };
        self.token.consume(len + TAG_LEN, |out| {
            // Written behind its place; then the addresses go before the tag.
            let (_, frame) = out.split_at_mut(TAG_LEN);
            let result = f(frame);
            out.copy_within(TAG_LEN..TAG_LEN + ADDRESSES.min(len), 0);
            if let Some(tag) = out.get_mut(ADDRESSES..ADDRESSES + TAG_LEN) {
                let [c, d] = vid.to_be_bytes();
                tag.copy_from_slice(&[TPID[0], TPID[1], c, d]);
            }
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

/// Frames come in otherwise.
pub(crate) enum Nothing {}

impl RxToken for Nothing {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, _f: F) -> R {
        match self {}
    }
}

#[cfg(test)]
#[path = "tagged_tests.rs"]
mod tests;
