/// Those that go last on a port. Who of them found no room goes first the next time
/// there is some, and then the others again: so both get on, however long either goes
/// on filling the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    go_first: bool,
    went_first: bool,
}

impl Turn {
    /// Whether they are to go first.
    #[inline]
    pub(crate) const fn go_first(self) -> bool {
        self.go_first
    }

    /// They went first, and found room.
    pub(crate) const fn went_first(&mut self) {
        self.went_first = true;
    }

    /// A poll is over. `is_left` says that some of them found no room, `others_sent`
    /// that the others did: while there was none for anybody, no turn is over.
    #[inline]
    pub(crate) const fn over(&mut self, is_left: bool, others_sent: bool) {
        self.go_first = is_left && !self.went_first && (self.go_first || others_sent);
        self.went_first = false;
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
