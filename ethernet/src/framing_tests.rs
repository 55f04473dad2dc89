use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The frames as QEMU would write them.
fn stream_of(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for frame in frames {
        octets.extend((frame.len() as u32).to_be_bytes());
        octets.extend(frame);
    }
    octets
}

/// Reads `stream` in pieces of these lengths, again and again, and takes every
/// frame as soon as it is there.
fn take_all(stream: &[u8], pieces: &[usize]) -> Vec<Vec<u8>> {
    let mut incoming = Incoming::new();
    let mut rest = stream;
    let mut pieces = pieces.iter().copied().cycle();
    let mut frames = Vec::new();
    loop {
        while let Some(at) = incoming.take().expect("no frame is too long") {
            frames.push(incoming.frame(at).to_vec());
        }
        let piece = pieces.next().expect("endless");
        let read = incoming.read(|room| {
            assert!(!room.is_empty(), "a read always has room");
            let len = piece.min(rest.len()).min(room.len());
            room[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            Ok(len)
        });
        if read.expect("no error") == Read::End {
            return frames;
        }
    }
}

#[test]
fn every_split_of_two_reads_gives_the_same_frames() {
    let frames = [vec![1; 60], vec![2; 1], vec![3; 99]];
    let stream = stream_of(&frames);
    for first in 1..stream.len() {
        assert_eq!(take_all(&stream, &[first, stream.len() - first]), frames, "split after {first}");
    }
}

#[test]
fn single_octets_give_the_same_frames() {
    let frames = [vec![5; 1514], vec![6; MAX_FRAME_LEN], vec![7; 60]];
    assert_eq!(take_all(&stream_of(&frames), &[1]), frames);
}

#[test]
fn empty_frames_are_passed_over() {
    let stream = stream_of(&[vec![], vec![1; 60], vec![], vec![]]);
    assert_eq!(take_all(&stream, &[stream.len()]), [vec![1; 60]]);
}

#[test]
fn announced_length_above_the_limit_is_refused_and_the_limit_is_not() {
    for (announced, refused) in [
        (MAX_FRAME_LEN as u32, false),
        (MAX_FRAME_LEN as u32 + 1, true),
        (u32::MAX, true),
        (u32::from_le_bytes([0x3c, 0, 0, 0]).swap_bytes(), true), // a length in the wrong order
    ] {
        let mut incoming = Incoming::new();
        let prefix = announced.to_be_bytes();
        incoming
            .read(|room| {
                room[..PREFIX_LEN].copy_from_slice(&prefix);
                Ok(PREFIX_LEN)
            })
            .expect("no error");
        match incoming.take() {
            Err(DownReason::FrameTooLong { announced: said }) => assert!(refused && said == announced),
            other => assert!(!refused && matches!(other, Ok(None)), "{announced}: {other:?}"),
        }
    }
}

/// Puts all frames and writes at most `pieces` octets at a time, 0 for "not now".
fn send_all(frames: &[Vec<u8>], pieces: &[usize]) -> Vec<u8> {
    let mut outgoing = Outgoing::new();
    let mut stream = Vec::new();
    let mut pieces = pieces.iter().copied().cycle();
    let mut flush = |outgoing: &mut Outgoing| {
        let written = outgoing.write(|octets| match pieces.next() {
            None | Some(0) => Err(io::ErrorKind::WouldBlock.into()),
            Some(piece) => {
                let len = piece.min(octets.len());
                stream.extend(&octets[..len]);
                Ok(len)
            }
        });
        written.expect("no error");
    };
    for frame in frames {
        while !outgoing.has_room(1, MAX_FRAME_LEN) {
            flush(&mut outgoing);
        }
        outgoing.put(frame.len(), |room| {
            assert!(room.iter().all(|octet| *octet == 0), "nothing shines through");
            room.copy_from_slice(frame);
        });
        flush(&mut outgoing);
    }
    while !outgoing.is_empty() {
        flush(&mut outgoing);
    }
    stream
}

fn any_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let len = prop_oneof![1..80_usize, 1500..1519_usize, 9000..=MAX_FRAME_LEN];
    vec((len, any::<u8>()).prop_map(|(len, octet)| vec![octet; len]), 1..40)
}

proptest! {
    #[test]
    fn any_split_of_reads_gives_the_same_frames(
        frames in any_frames(), pieces in vec(1..20_000_usize, 1..8),
    ) {
        prop_assert_eq!(take_all(&stream_of(&frames), &pieces), frames);
    }

    #[test]
    fn any_split_of_writes_gives_the_same_stream(
        frames in any_frames(), mut pieces in vec(0..20_000_usize, 1..8),
    ) {
        pieces.push(1); // sooner or later it takes something
        prop_assert_eq!(send_all(&frames, &pieces), stream_of(&frames));
    }

    #[test]
    fn octets_of_any_kind_do_no_harm(octets in vec(any::<u8>(), 0..2000), piece in 1..50_usize) {
        let mut incoming = Incoming::new();
        for piece in octets.chunks(piece) {
            let read = incoming.read(|room| {
                room[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            });
            prop_assert!(read.is_ok());
            loop {
                match incoming.take() {
                    Ok(Some(at)) => prop_assert!(!incoming.frame(at).is_empty()),
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
    }
}

#[test]
fn stream_that_takes_nothing_more_is_an_error() {
    let mut outgoing = Outgoing::new();
    outgoing.put(60, |frame| frame.fill(1));
    let error = outgoing.write(|_| Ok(0)).expect_err("it cannot go on");
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}
