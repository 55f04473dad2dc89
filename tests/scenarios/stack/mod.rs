//! Whole stacks on a simulated Ethernet.

mod as_linux;
mod basics;
mod chaos;
mod closing;
mod corking;
mod counting;
mod declines;
mod embedded;
mod events;
mod failing;
mod groups;
mod mended;
mod options;
mod pair;
mod probing;
mod random;
mod segments;
mod sockets;
mod two_links;
mod urgent;
mod versions;
mod vlans;
mod wakers;
