use smolsmc_wire::{ParseError, Reader, Writer};

/// TEST LINK: are you there? (RFC 7609 Appendix A.3.8). The response repeats
/// the user data.
///
/// ```text
///    4  user data (16)   20  reserved (24)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TestLink {
    /// Whatever the asking side likes; zero from Linux 6.12, which does not
    /// compare what comes back.
    pub user_data: [u8; 16],
}

impl TestLink {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { user_data: r.array()? })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.user_data);
    }
}
