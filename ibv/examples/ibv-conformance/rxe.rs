//! What Linux's rxe (6.12) does otherwise than the contract says, and why. A case
//! that is listed and passes fails the run, so that this list stays true.

/// Names of cases, and what rxe does there.
const LIMITS: &[(&str, &str)] = &[];

pub(crate) fn limit(case: &str) -> Option<&'static str> {
    LIMITS.iter().find(|(name, _)| *name == case).map(|(_, reason)| *reason)
}
