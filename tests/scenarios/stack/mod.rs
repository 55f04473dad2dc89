//! Whole stacks on a simulated Ethernet.

mod as_linux;
mod basics;
mod chaos;
mod closing;
mod failing;
mod groups;
mod mended;
mod pair;
mod random;
mod two_links;
