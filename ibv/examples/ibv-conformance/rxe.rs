//! What Linux's rxe (6.12) does otherwise than the contract says, and why. A case
//! that always fails, is listed, and passes fails the run, so that this list stays
//! true.

/// What rxe does in a case.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    case: &'static str,
    pub(crate) reason: &'static str,
    /// Otherwise it depends on what is under way at the moment.
    pub(crate) always: bool,
}

const LIMITS: &[Limit] = &[
    Limit {
        case: "send: a receive too short",
        reason: "rxe calls a receive malformed that is too short, and its sender hears 0x63",
        always: true,
    },
    Limit {
        case: "local: a send from memory that is not there",
        reason: "rxe puts the queue pair into ERR before it completes the request, which then counts as flushed",
        always: true,
    },
    Limit {
        case: "notify: a failure counts as solicited",
        reason: "rxe notifies of a flushed receive as of an unsolicited one",
        always: true,
    },
    Limit {
        case: "events: a port down for a moment in mid-write",
        reason: "rxe ends a queue pair whose packet finds no route, and without its network device none does",
        always: false,
    },
];

pub(crate) fn limit(case: &str) -> Option<Limit> {
    LIMITS.iter().find(|limit| limit.case == case).copied()
}
