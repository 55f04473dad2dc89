//! The traits of `embedded-io` over a socket: code that knows nothing else
//! moves a stream.

use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};
use smolsmc::{SendError, SocketOptions, Stream, StreamError};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, pattern};

/// As much as goes without waiting, from octet `at` on.
fn write<W: Write<Error = StreamError> + WriteReady>(to: &mut W, mut at: u64, end: u64) -> u64 {
    while at < end && to.write_ready().unwrap() {
        let octets: Vec<u8> = (at..end.min(at + 1000)).map(|n| pattern(7, n)).collect();
        at += to.write(&octets).unwrap() as u64;
    }
    if at < end {
        let error = to.write(&[0]).unwrap_err();
        assert!(error.is_would_block() && error.kind() == ErrorKind::Other);
    }
    at
}

/// As much as there is, from octet `at` on; `true` at the end of the stream.
fn read<R: Read<Error = StreamError> + ReadReady>(from: &mut R, mut at: u64) -> (u64, bool) {
    let mut octets = [0; 777];
    while from.read_ready().unwrap() {
        match from.read(&mut octets).unwrap() {
            0 => return (at, true),
            len => {
                assert!(octets[..len].iter().zip(at..).all(|(octet, n)| *octet == pattern(7, n)));
                at += len as u64;
            }
        }
    }
    assert!(from.read(&mut octets).unwrap_err().is_would_block());
    assert_eq!(from.read(&mut []), Ok(0));
    (at, false)
}

#[test]
fn generic_code_moves_a_stream() {
    for plain_tcp in [false, true] {
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let mut pair = Pair::new(121);
        let (client, server) = pair.connect_with(options);
        let (len, mut sent, mut received, mut flushed) = (300_000, 0, 0, false);
        pair.lan.until(Duration::from_secs(30), "the end of the stream", |lan| {
            let mut stream = Stream::from(lan.stack(CLIENT).socket(client).unwrap());
            if sent < len {
                sent = write(&mut stream, sent, len);
                assert_eq!(stream.flush(), Err(SendError::WouldBlock.into()));
            } else if !flushed && stream.flush().is_ok() {
                flushed = true;
                stream.into_socket().shutdown();
            }
            let mut stream = Stream::from(lan.stack(SERVER).socket(server).unwrap());
            let ended;
            (received, ended) = read(&mut stream, received);
            ended
        });
        assert_eq!(received, len);
        let mut stream = Stream::from(pair.lan.stack(CLIENT).socket(client).unwrap());
        assert_eq!(stream.write(&[1]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn errors_have_kinds() {
    let mut pair = Pair::new(122);
    let listener = pair.listener;
    pair.lan.stack(SERVER).unlisten(listener);
    let client = pair.begin(SocketOptions::default());
    pair.lan.run_for(Duration::from_millis(50));
    let mut stream = Stream::from(pair.lan.stack(CLIENT).socket(client).unwrap());
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(stream.write(&[0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
