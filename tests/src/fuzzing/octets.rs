use smolsmc_wire::ParseError;

/// Takes numbers from the front of fuzz input; zeros once it is used up, so
/// that every input means something.
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl<'a> Octets<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does something with them until none are left, `most` times at most.
    pub(super) fn each(&mut self, most: usize, mut operation: impl FnMut(&mut Self)) {
        for _ in 0..most {
            if self.is_empty() {
                break;
            }
            operation(self);
        }
    }

    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.take(N);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    pub(super) fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }
}

/// Asserts that writing into anything shorter than `len` octets is refused.
/// Tries the nearest length and one that `choice` picks.
pub(super) fn refuses_short_buffers(len: usize, choice: usize, refuses: impl Fn(&mut [u8]) -> bool) {
    let mut buffer = vec![0; len.saturating_sub(1)];
    if len > 0 {
        assert!(refuses(&mut buffer), "one octet too few");
        let shorter = choice % len;
        assert!(refuses(&mut buffer[..shorter]), "{shorter} of {len} octets");
    }
}

/// Asserts that an error is one line, if `choice` has it so: words are dear.
pub(super) fn speaks_plainly(error: &ParseError, choice: usize) {
    if choice.is_multiple_of(32) {
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}
