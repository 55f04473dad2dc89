//! The program in a Linux guest: it is init, and does what the harness says over
//! a virtio-serial port, one JSON object a line each way ([`protocol`]).
//!
//! It is static and alone: no shell, no library, no other program. System calls
//! go through `rustix`, netlink messages are written by hand, so that nothing has
//! to be installed in the guest.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a std edge: it runs in a guest of its own and must keep real deadlines"
)]

mod carry;
mod children;
mod init;
mod kernel_log;
mod netlink;
mod nic;
pub mod pattern;
mod programs;
pub mod protocol;
mod rdma;
mod serve;
mod smc;
mod smc_diag;
mod sockets;

pub use init::run;
