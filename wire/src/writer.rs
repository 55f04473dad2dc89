use crate::EmitError;

/// Writes big-endian fields one after the other into a buffer whose size was
/// checked once, at the start. What is not written stays zero, as reserved
/// octets must.
///
/// Writing past the announced length is a defect of the emitting function: it
/// trips a debug assertion and is otherwise dropped, never out of bounds.
#[derive(Debug)]
pub struct Writer<'a> {
    octets: &'a mut [u8],
    position: usize,
}

impl<'a> Writer<'a> {
    /// A writer for a `what` of `len` octets at the start of `buffer`, which is
    /// zeroed up to `len`.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] if `buffer` is shorter than `len`.
    pub fn new(what: &'static str, buffer: &'a mut [u8], len: usize) -> Result<Self, EmitError> {
        let got = buffer.len();
        let octets = buffer.get_mut(..len).ok_or(EmitError::BufferTooSmall { what, needed: len, got })?;
        octets.fill(0);
        Ok(Self { octets, position: 0 })
    }

    /// Octets written so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Copies `field`.
    pub fn slice(&mut self, field: &[u8]) {
        let end = self.position + field.len();
        debug_assert!(end <= self.octets.len(), "a message longer than it announced");
        if let Some(out) = self.octets.get_mut(self.position..end) {
            out.copy_from_slice(field);
        }
        self.position = end;
    }

    /// One octet.
    pub fn u8(&mut self, field: u8) {
        self.slice(&[field]);
    }

    /// Two octets, big-endian.
    pub fn u16(&mut self, field: u16) {
        self.slice(&field.to_be_bytes());
    }

    /// The low 24 bits of `field`, big-endian.
    pub fn u24(&mut self, field: u32) {
        let [_, a, b, c] = field.to_be_bytes();
        self.slice(&[a, b, c]);
    }

    /// Four octets, big-endian.
    pub fn u32(&mut self, field: u32) {
        self.slice(&field.to_be_bytes());
    }

    /// Eight octets, big-endian.
    pub fn u64(&mut self, field: u64) {
        self.slice(&field.to_be_bytes());
    }

    /// Leaves `len` octets zero.
    pub const fn zeros(&mut self, len: usize) {
        self.position += len;
    }

    /// Ends the message and returns its length in octets.
    pub fn finish(self) -> usize {
        debug_assert_eq!(self.position, self.octets.len(), "a message shorter than it announced");
        self.octets.len()
    }
}
