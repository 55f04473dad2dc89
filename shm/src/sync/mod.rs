//! What two processes agree on, word by word: rings, gates, bells. Generic over
//! the words, so that loom checks the very same code.

pub(crate) mod bell;
pub(crate) mod gate;
pub(crate) mod ring;
mod word;

#[cfg(test)]
mod loom_tests;
#[cfg(test)]
mod ring_tests;

pub(crate) use word::Word;
