use smolsmc_wire::Duration;

/// How long a link waits for what. The values of [`Timers::LINUX`] are those
/// of Linux 6.12 smc_llc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The server's patience with CONFIRM LINK's response.
    pub confirm_link_response: Duration,
    /// The client's patience with CONFIRM LINK's request.
    pub confirm_link_request: Duration,
    /// From the Confirm to the server's CONFIRM LINK: a Linux client drops one
    /// that it gets before it has armed its flow, just after its Confirm.
    pub confirm_link_delay: Duration,
    /// When the server says CONFIRM LINK again; only where no second link is
    /// negotiated, for else a duplicate disturbs a Linux client.
    pub confirm_link_again: Duration,
    /// For CONFIRM LINK on a further link, on both sides.
    pub confirm_additional_link: Duration,
    /// For every other response.
    pub response: Duration,
    /// Without a SEND from the peer for so long, TEST LINK asks for one;
    /// `ZERO` never asks.
    pub test_link: Duration,
}

impl Timers {
    /// As Linux 6.12 has them.
    pub const LINUX: Self = Self {
        confirm_link_response: Duration::from_secs(2),
        confirm_link_request: Duration::from_secs(4),
        confirm_link_delay: Duration::from_millis(5),
        confirm_link_again: Duration::from_millis(500),
        confirm_additional_link: Duration::from_secs(5),
        response: Duration::from_secs(2),
        test_link: Duration::from_secs(30),
    };
}
