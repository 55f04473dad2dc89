use smolsmc_clc::{Header, MAX_MESSAGE_LEN, Message};

use super::octets::{refuses_short_buffers, speaks_plainly};

/// The octets of a TCP stream as CLC messages, one after the other as a reader
/// of the stream takes them.
///
/// Asserts: a message is read from exactly as many octets as its header says;
/// it is written again in [`Message::wire_len`] octets, at most as many as were
/// read, under the header it announces, and reads back as the same value, which
/// proves that every bit that was not written is ignored; a shorter buffer is
/// refused; so is a message with an octet more or less.
pub fn clc(data: &[u8]) {
    let mut rest = data;
    while let Ok(header) = Header::parse(rest) {
        let len = header.message_len();
        assert!(len >= Header::MIN_MESSAGE_LEN);
        if rest.len() != len {
            assert!(Message::parse(rest).is_err(), "{} octets where {len} are announced", rest.len());
        }
        let Some((octets, after)) = rest.split_at_checked(len) else { return };
        match Message::parse(octets) {
            Ok(message) => one(&message, octets),
            Err(error) => speaks_plainly(&error, len),
        }
        rest = after;
    }
    assert!(Message::parse(rest).is_err(), "no message without a header");
}

fn one(message: &Message, octets: &[u8]) {
    assert!(octets.len() <= MAX_MESSAGE_LEN);
    let mut again = vec![0xff; message.wire_len()];
    assert_eq!(message.emit(&mut again), Ok(again.len()), "{message:?}");
    assert!(again.len() <= octets.len(), "{message:?}");
    assert_eq!(Message::parse(&again).as_ref(), Ok(message));
    let header = Header::parse(&again);
    assert_eq!(message.header().ok(), header.ok());
    assert_eq!(header.map(|header| header.message_len()), Ok(again.len()));
    let choice = usize::from(octets[octets.len() / 2]);
    refuses_short_buffers(again.len(), choice, |buffer| message.emit(buffer).is_err());
    for len in [again.len() - 1, choice % again.len()] {
        assert!(Message::parse(&again[..len]).is_err(), "{len} of {} octets", again.len());
    }
    again.push(0);
    assert!(Message::parse(&again).is_err(), "an octet too many");
}
