//! What several messages say about rkeys.

use smolsmc_wire::{LinkNumber, ParseError, Reader, Rkey, Writer};

/// One RMB on a link that exists and on one that is being added: an entry of
/// the ADD LINK extension and of ADD LINK CONTINUATION (RFC 7609 Appendix
/// A.3.3).
///
/// Linux 6.12 lists its RMBs in no order that a receiver could rely on: match
/// them by `current`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RkeyMapping {
    /// The RMB's rkey on the link that carries the message.
    pub current: Rkey,
    /// Its rkey on the new link.
    pub new: Rkey,
    /// Its address on the new link.
    pub address: u64,
}

impl RkeyMapping {
    /// Length in octets.
    pub const LEN: usize = 16;

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { current: Rkey(r.u32()?), new: Rkey(r.u32()?), address: r.u64()? })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.current.0);
        w.u32(self.new.0);
        w.u64(self.address);
    }
}

/// One RMB on one link: an entry of CONFIRM RKEY and of its continuation
/// (RFC 7609 Appendix A.3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkRkey {
    /// The link.
    pub link_number: LinkNumber,
    /// The RMB's rkey on that link.
    pub rkey: Rkey,
    /// Its address on that link.
    pub address: u64,
}

impl LinkRkey {
    /// Length in octets.
    pub const LEN: usize = 13;

    const NONE: Self = Self { link_number: LinkNumber(0), rkey: Rkey(0), address: 0 };

    fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { link_number: LinkNumber(r.u8()?), rkey: Rkey(r.u32()?), address: r.u64()? })
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.link_number.0);
        w.u32(self.rkey.0);
        w.u64(self.address);
    }
}

/// A count of tokens still to be told, and the first `N` of them: the ones
/// that travel in this message. The others follow in continuations.
///
/// ```
/// use smolsmc_llc::{LinkRkey, Others};
///
/// let tokens = [LinkRkey::default(); 5];
/// let others = Others::<2>::new(&tokens).ok_or("more than 255")?;
/// assert_eq!((others.count(), others.here().len()), (5, 2));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Others<const N: usize> {
    count: u8,
    /// Those beyond `count` are [`LinkRkey::NONE`].
    entries: [LinkRkey; N],
}

impl<const N: usize> Others<N> {
    /// No token at all.
    pub const NONE: Self = Self { count: 0, entries: [LinkRkey::NONE; N] };

    /// From all tokens still to be told; the first `N` will be in the message.
    /// `None` if there are more than 255.
    #[must_use]
    pub fn new(all: &[LinkRkey]) -> Option<Self> {
        let mut others = Self { count: u8::try_from(all.len()).ok()?, ..Self::NONE };
        for (entry, token) in others.entries.iter_mut().zip(all) {
            *entry = *token;
        }
        Some(others)
    }

    /// Tokens still to be told, those in this message included.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// The tokens in this message: [`Others::count`] of them, at most `N`.
    #[must_use]
    pub fn here(&self) -> &[LinkRkey] {
        self.entries.get(..usize::from(self.count)).unwrap_or(&self.entries)
    }

    /// Reads the entries that `count`, from elsewhere in the message, asks for.
    pub(crate) fn read(count: u8, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let mut others = Self { count, ..Self::NONE };
        for entry in others.entries.iter_mut().take(usize::from(count)) {
            *entry = LinkRkey::read(r)?;
        }
        Ok(others)
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        for entry in self.here() {
            entry.write(w);
        }
    }
}

impl<const N: usize> Default for Others<N> {
    fn default() -> Self {
        Self::NONE
    }
}
