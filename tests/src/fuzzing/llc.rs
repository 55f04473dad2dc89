use smolsmc_llc::{Body, HostOrder, MAX_LEN, MIN_LEN, Message, Version};

use super::octets::{refuses_short_buffers, speaks_plainly};

/// One received SEND as an LLC message.
///
/// Asserts: what is read is written again in [`Message::wire_len`] octets, at
/// most as many as were read, and reads back as the same value, which proves
/// that every bit that was not written is ignored; a shorter buffer is refused;
/// a message cut short is refused; what is unknown is kept octet for octet.
pub fn llc(data: &[u8]) {
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.offset <= data.len().max(MIN_LEN), "{error}");
            speaks_plainly(&error, data.len());
            return;
        }
    };
    let mut again = vec![0xff; message.wire_len()];
    assert_eq!(message.emit(&mut again), Ok(again.len()), "{message:?}");
    assert!((MIN_LEN..=MAX_LEN.min(data.len())).contains(&again.len()));
    assert_eq!(Message::parse(&again), Ok(as_written(&message, &again)));
    refuses_short_buffers(again.len(), usize::from(data[1]), |buffer| message.emit(buffer).is_err());
    if let Body::Unknown(unknown) = &message.body {
        assert_eq!((unknown.octets(), &again[..]), (data, data));
        return;
    }
    for len in [MIN_LEN - 1, usize::from(data[5]), again.len() - 1, again.len().saturating_sub(4)] {
        let len = len.min(again.len() - 1);
        let parsed = Message::parse(&again[..len]);
        assert!(parsed.is_err(), "{len} of {} octets of {message:?}: {parsed:?}", again.len());
    }
}

/// What reading `octets` makes of `message`. A length of two equal octets says
/// nothing about the order it was written in, and little-endian is assumed; only
/// ADD LINK has another field to tell by.
fn as_written(message: &Message, octets: &[u8]) -> Message {
    let mut written = message.clone();
    let add_link = matches!(message.body, Body::AddLink(_) | Body::Unknown(_));
    if matches!(message.version, Version::V2(_)) && octets[1] == octets[2] && !add_link {
        written.version = Version::V2(HostOrder::Little);
    }
    written
}
