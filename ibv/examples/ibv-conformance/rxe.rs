//! What Linux's rxe (6.12) does otherwise than the contract says, and why. A case
//! that is listed and passes fails the run, so that this list stays true.

/// Names of cases, and what rxe does there.
const LIMITS: &[(&str, &str)] = &[
    (
        "send: a receive too short",
        "rxe calls a receive malformed that is too short, and its sender hears 0x63",
    ),
    (
        "local: a send from memory that is not there",
        "rxe puts the queue pair into ERR before it completes the request, which then counts as flushed",
    ),
    ("notify: a failure counts as solicited", "rxe notifies of a flushed receive as of an unsolicited one"),
    (
        "events: a port down for a moment in mid-write",
        "rxe ends a queue pair whose packet finds no route, and without its network device none does",
    ),
];

pub(crate) fn limit(case: &str) -> Option<&'static str> {
    LIMITS.iter().find(|(name, _)| *name == case).map(|(_, reason)| *reason)
}
