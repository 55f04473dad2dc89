use alloc::format;
use alloc::string::String;
use core::fmt::{self, Debug};
use core::panic::Location;

use smolsmc_wire::Duration;

use crate::{PostError, VerbsError};

/// What a provider did that the contract does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub case: &'static str,
    /// What was expected.
    pub expectation: &'static str,
    /// What came instead.
    pub kind: FailureKind,
    /// The step of the case: where in its source.
    pub step: &'static Location<'static>,
}

/// What came instead of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// A call was refused that had to be accepted.
    Refused(VerbsError),
    /// A list of requests was refused that had to be posted.
    NotPosted(PostError),
    /// A value or a refusal was another one.
    Differs {
        /// What the contract says.
        expected: String,
        /// What the provider said.
        got: String,
    },
    /// It did not happen within this time.
    TimedOut(Duration),
}

impl Failure {
    #[track_caller]
    pub(super) fn new(expectation: &'static str, kind: FailureKind) -> Self {
        Self { case: "", expectation, kind, step: Location::caller() }
    }
}

impl From<VerbsError> for Failure {
    #[track_caller]
    fn from(error: VerbsError) -> Self {
        Self::new("the call is accepted", FailureKind::Refused(error))
    }
}

impl From<PostError> for Failure {
    #[track_caller]
    fn from(error: PostError) -> Self {
        Self::new("the requests are posted", FailureKind::NotPosted(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, expectation, kind, step } = self;
        write!(f, "{case}, {}:{}: expected that {expectation}, but ", step.file(), step.line())?;
        match kind {
            FailureKind::Refused(error) => write!(f, "it was refused: {error}"),
            FailureKind::NotPosted(error) => write!(f, "{error}"),
            FailureKind::Differs { expected, got } => write!(f, "got {got} instead of {expected}"),
            FailureKind::TimedOut(after) => write!(f, "it did not happen within {after}"),
        }
    }
}

impl core::error::Error for Failure {}

/// That `got` is `expected`.
#[track_caller]
pub(super) fn equal<T: PartialEq + Debug>(
    expectation: &'static str,
    got: T,
    expected: T,
) -> Result<(), Failure> {
    if got == expected {
        return Ok(());
    }
    let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
    Err(Failure::new(expectation, FailureKind::Differs { expected, got }))
}

/// That it holds.
#[track_caller]
pub(super) fn holds(expectation: &'static str, it_does: bool) -> Result<(), Failure> {
    equal(expectation, it_does, true)
}

/// That `got` is one of `allowed`.
#[track_caller]
pub(super) fn one_of<T: PartialEq + Debug>(
    expectation: &'static str,
    got: T,
    allowed: &[T],
) -> Result<(), Failure> {
    if allowed.contains(&got) {
        return Ok(());
    }
    let (expected, got) = (format!("one of {allowed:?}"), format!("{got:?}"));
    Err(Failure::new(expectation, FailureKind::Differs { expected, got }))
}

/// That a call was refused, with an error that `is_right`.
#[track_caller]
pub(super) fn refused<T, E: Debug>(
    expectation: &'static str,
    result: Result<T, E>,
    is_right: impl FnOnce(&E) -> bool,
) -> Result<(), Failure> {
    let got = match result {
        Err(error) if is_right(&error) => return Ok(()),
        Err(error) => format!("the refusal {error:?}"),
        Ok(_) => String::from("no refusal"),
    };
    let expected = String::from("the refusal of the contract");
    Err(Failure::new(expectation, FailureKind::Differs { expected, got }))
}
