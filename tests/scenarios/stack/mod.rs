//! Whole stacks on a simulated Ethernet.

mod basics;
mod closing;
mod failing;
mod groups;
mod pair;
mod random;
