use crate::StateFlags;

/// Where a connection is in its end, by the names of RFC 7609 §4.7 and Linux
/// 6.12 smc_close.
///
/// ```text
///              we say D or C                 we say C
///   Active ------------------> PeerCloseWait1 ------.      heard C
///     |  heard D or C              | heard D        +------------------> Closed
///     |                        PeerCloseWait2 ------'  (if C was said)
///     |                            `--- heard C, only D said --> AppFinCloseWait
///     `--> AppCloseWait1 --- we say C ---> PeerFinCloseWait --- heard C ---> Closed
///              `- we say D -> AppCloseWait2 --^
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseState {
    /// Both sides may write.
    #[default]
    Active,
    /// We said D or C first.
    PeerCloseWait1,
    /// Then the peer said D.
    PeerCloseWait2,
    /// The peer said D or C first.
    AppCloseWait1,
    /// Then we said D.
    AppCloseWait2,
    /// The peer has closed; we have only said D so far.
    AppFinCloseWait,
    /// We have closed; the peer has only said D so far.
    PeerFinCloseWait,
    /// The peer aborted, and the application has not closed yet.
    ProcessAbort,
    /// Nothing more will be said or heard.
    Closed,
}

/// What can happen to a connection that matters for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseEvent {
    /// The application will write no more.
    Shutdown,
    /// The application closes, having read everything.
    Close,
    /// The application closes with octets unread, or aborts.
    Abort,
    /// The peer said D.
    HeardDone,
    /// The peer said C.
    HeardClosed,
    /// The peer said A.
    HeardAbort,
    /// The link is gone: nothing can be said or heard any more.
    LinkLost,
}

/// The end of one connection: one table, [`CloseState`] by [`CloseEvent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close {
    state: CloseState,
    /// What was or is to be said.
    said: StateFlags,
    heard: StateFlags,
}

const C_OR_A: StateFlags = StateFlags::CLOSED.union(StateFlags::ABNORMAL_CLOSE);

impl Close {
    /// Where it is.
    #[inline]
    #[must_use]
    pub const fn state(&self) -> CloseState {
        self.state
    }

    /// The flags to be said: D and C behind the last octet that waits, A at
    /// once.
    #[inline]
    #[must_use]
    pub const fn said(&self) -> StateFlags {
        self.said
    }

    /// What the peer said.
    #[inline]
    #[must_use]
    pub const fn heard(&self) -> StateFlags {
        self.heard
    }

    /// Whether the application may still write.
    #[inline]
    #[must_use]
    pub const fn may_write(&self) -> bool {
        self.said.is_empty() && !self.heard.intersects(C_OR_A)
    }

    /// Whether the application has closed or aborted.
    #[inline]
    #[must_use]
    pub const fn is_closed_here(&self) -> bool {
        self.said.intersects(C_OR_A)
    }

    /// Something happened.
    pub fn step(&mut self, event: CloseEvent) {
        use CloseState as S;
        let closed_here = self.is_closed_here();
        let peer_closed = self.heard.intersects(C_OR_A);
        self.heard |= match event {
            CloseEvent::HeardDone => StateFlags::SENDING_DONE,
            CloseEvent::HeardClosed => StateFlags::CLOSED,
            CloseEvent::HeardAbort => StateFlags::ABNORMAL_CLOSE,
            _ => StateFlags::empty(),
        };
        let (state, say) = match event {
            CloseEvent::Shutdown => after_shutdown(self.state),
            CloseEvent::Close => after_close(self.state, closed_here, peer_closed, StateFlags::CLOSED),
            CloseEvent::Abort => {
                after_close(self.state, closed_here, peer_closed, StateFlags::ABNORMAL_CLOSE)
            }
            CloseEvent::HeardDone => (after_done(self.state), StateFlags::empty()),
            CloseEvent::HeardClosed => (after_closed(self.state, closed_here), StateFlags::empty()),
            CloseEvent::HeardAbort => (after_abort(self.state, closed_here), StateFlags::empty()),
            CloseEvent::LinkLost => (S::Closed, StateFlags::empty()),
        };
        self.state = state;
        self.said |= say;
    }
}

const fn after_shutdown(state: CloseState) -> (CloseState, StateFlags) {
    use CloseState as S;
    match state {
        S::Active => (S::PeerCloseWait1, StateFlags::SENDING_DONE),
        S::AppCloseWait1 => (S::AppCloseWait2, StateFlags::SENDING_DONE),
        state => (state, StateFlags::empty()),
    }
}

const fn after_close(
    state: CloseState,
    closed_here: bool,
    peer_closed: bool,
    flag: StateFlags,
) -> (CloseState, StateFlags) {
    use CloseState as S;
    match state {
        S::Active => (S::PeerCloseWait1, flag),
        S::PeerCloseWait1 | S::PeerCloseWait2 if !closed_here => (state, flag),
        // An abort after a close that still waits for the peer.
        S::PeerCloseWait1 | S::PeerCloseWait2 | S::PeerFinCloseWait
            if flag.contains(StateFlags::ABNORMAL_CLOSE) =>
        {
            (state, flag)
        }
        S::AppFinCloseWait => (S::Closed, flag),
        S::AppCloseWait1 | S::AppCloseWait2 if peer_closed => (S::Closed, flag),
        S::AppCloseWait1 | S::AppCloseWait2 => (S::PeerFinCloseWait, flag),
        // The answer to an abort is an abort.
        S::ProcessAbort => (S::Closed, StateFlags::ABNORMAL_CLOSE),
        state => (state, StateFlags::empty()),
    }
}

const fn after_done(state: CloseState) -> CloseState {
    use CloseState as S;
    match state {
        S::Active => S::AppCloseWait1,
        S::PeerCloseWait1 => S::PeerCloseWait2,
        state => state,
    }
}

const fn after_closed(state: CloseState, closed_here: bool) -> CloseState {
    use CloseState as S;
    match state {
        S::Active => S::AppCloseWait1,
        S::PeerCloseWait1 | S::PeerCloseWait2 if closed_here => S::Closed,
        S::PeerCloseWait1 | S::PeerCloseWait2 => S::AppFinCloseWait,
        S::PeerFinCloseWait => S::Closed,
        state => state,
    }
}

const fn after_abort(state: CloseState, closed_here: bool) -> CloseState {
    use CloseState as S;
    match state {
        // After D alone Linux 6.12 says nothing more; then our peer would wait for
        // an answer until its time is over, and its RMB could not be used again.
        S::Active | S::AppCloseWait1 | S::AppCloseWait2 | S::AppFinCloseWait => S::ProcessAbort,
        S::PeerCloseWait1 | S::PeerCloseWait2 if !closed_here => S::ProcessAbort,
        S::PeerCloseWait1 | S::PeerCloseWait2 | S::PeerFinCloseWait => S::Closed,
        state => state,
    }
}
