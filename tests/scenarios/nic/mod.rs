//! The NIC in software against its contract: the conformance suite on every
//! kind of wire, random traffic from many seeds, and the wire itself.

mod conformance;
mod traffic;
mod wire;

/// A number from the environment, so that more can be run than usual.
fn number(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")),
        Err(_) => usual,
    }
}
