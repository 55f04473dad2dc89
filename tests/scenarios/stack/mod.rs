//! Whole stacks on a simulated Ethernet.

mod as_linux;
mod basics;
mod closing;
mod corking;
mod counting;
mod declines;
mod embedded;
mod events;
mod failing;
mod groups;
mod options;
mod pair;
mod random;
mod sockets;
mod two_links;
mod urgent;
mod wakers;
