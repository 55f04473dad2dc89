//! Urgent octets: one at a time in each direction, on SMC-R only.

use smolsmc_verbs::{Provider, RemoteSpan};

use super::Socket;
use crate::connection::{Phase, Smc};
use crate::error::SendError;

impl<P: Provider> Socket<'_, P> {
    /// Sends an octet that the peer hears of before it has read all that was
    /// sent earlier (TCP's urgent data; RFC 7609 §4.7.5). One is under way at a
    /// time: if one waits already, that becomes an octet like all others.
    ///
    /// What is sent afterwards waits until the peer has read past it, as long as
    /// the connection lives: a Linux reader that fetched it out of band before
    /// an ordinary read would read all that follows shifted by one octet. That
    /// reader never says that it has passed it, to Linux neither; what waits then
    /// waits as in front of a full ring. If the connection falls back to
    /// TCP even now, by a Decline that comes late, it is an octet of the stream.
    ///
    /// # Errors
    /// As [`Socket::send`]; [`SendError::NoUrgent`] on TCP, where nothing is
    /// sent: send it like any other octet, or not.
    pub fn send_urgent(&mut self, octet: u8) -> Result<(), SendError> {
        self.room()?;
        let Phase::Smc(smc) = &mut self.connection.phase else { return Err(SendError::NoUrgent) };
        smc.put(&mut self.shared.provider, &[octet]);
        smc.flow.urge();
        smc.stats.urgent_sent += 1;
        self.sent(Ok(1)).map(|_| ())
    }

    /// The peer's urgent octet, once, if it has arrived and they are not inline
    /// ([`SocketOptions::urgent_inline`](crate::SocketOptions::urgent_inline)).
    /// A newer one takes the place of one that was not fetched; one that reading
    /// has not come to is then an octet of the stream, fetched or not, as with
    /// TCP: a sender like [`Socket::send_urgent`] sends no newer
    /// one before. On TCP there is
    /// never one: what a peer marks there as urgent is in the stream.
    pub const fn recv_urgent(&mut self) -> Option<u8> {
        match &mut self.connection.phase {
            Phase::Smc(smc) => smc.urgent.take(),
            _ => None,
        }
    }

    /// Whether the peer has an urgent octet for us that it could not write yet,
    /// since its octets before that fill our ring.
    #[must_use]
    pub const fn is_urgent_expected(&self) -> bool {
        matches!(&self.connection.phase, Phase::Smc(smc) if smc.flow.is_urgent_expected())
    }

    /// Whether reading has come to the urgent octet: the next one, if they are
    /// inline, else the one that was left out here. No read goes past it, so
    /// that it can be asked after each.
    #[must_use]
    pub fn is_at_urgent(&self) -> bool {
        matches!(&self.connection.phase, Phase::Smc(smc) if smc.flow.is_at_urgent())
    }

    /// Whether urgent octets of the peer stay in the stream:
    /// [`SocketOptions::urgent_inline`](crate::SocketOptions::urgent_inline).
    pub fn set_urgent_inline(&mut self, inline: bool) {
        self.connection.options.urgent_inline = inline;
        if let Phase::Smc(smc) = &mut self.connection.phase {
            let unread = smc.flow.urgent_offset();
            smc.urgent = match unread {
                // In the stream again.
                Some(_) if inline => None,
                Some(offset) => smc.octet_at(&self.shared.provider, offset),
                None => smc.urgent,
            };
            smc.flow.set_urgent_inline(inline);
            self.settle();
        }
    }
}

impl Smc {
    /// The octet at an offset of our ring.
    pub(crate) fn octet_at<P: Provider>(&self, provider: &P, offset: u32) -> Option<u8> {
        let mut octet = [0];
        let span = provider.incoming(self.rmb.memory, offset as usize, 1).ok()?;
        (span.copy_to(0, &mut octet) == 1).then_some(octet[0])
    }
}
