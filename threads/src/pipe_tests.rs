use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use proptest::prelude::*;

use super::{End, Most, Patience, Pipe};
use crate::error::StreamError;

const FOREVER: Patience = Patience { spin: Duration::ZERO, most: Most::Forever };

fn patience(millis: u64) -> Patience {
    Patience { spin: Duration::ZERO, most: Most::For(Duration::from_millis(millis)) }
}

proptest! {
    /// Beside a queue that cannot be wrong.
    #[test]
    fn octets_come_out_as_they_went_in(
        size in 1_usize..40,
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_usize..50), 0..200),
    ) {
        let pipe = Pipe::new(size, true);
        let (mut queue, mut next) = (VecDeque::new(), 0_u8);
        for (puts, by_piece, len) in steps {
            pipe.serve(|inner| {
                if puts {
                    let octets: Vec<u8> = (0..len).map(|at| next.wrapping_add(at as u8)).collect();
                    let put = if by_piece {
                        let piece = inner.free_piece();
                        let put = piece.len().min(len);
                        piece[..put].copy_from_slice(&octets[..put]);
                        inner.filled(put);
                        put
                    } else {
                        inner.put(&octets)
                    };
                    assert!(put == len || by_piece || inner.room() == 0);
                    assert!(put > 0 || len == 0 || inner.room() == 0, "there was room");
                    queue.extend(&octets[..put]);
                    next = next.wrapping_add(put as u8);
                } else {
                    let mut out = vec![0; len];
                    let taken = if by_piece {
                        let piece = inner.piece();
                        let taken = piece.len().min(len);
                        out[..taken].copy_from_slice(&piece[..taken]);
                        inner.taken(taken);
                        taken
                    } else {
                        let seen = inner.copy(&mut out);
                        let copy = out.clone();
                        assert_eq!(inner.take(&mut out), seen);
                        assert_eq!(copy, out);
                        assert!(seen == len || inner.len() == 0);
                        seen
                    };
                    let wanted: Vec<u8> = queue.drain(..taken).collect();
                    assert_eq!(out[..taken], wanted[..]);
                }
                assert_eq!((inner.len(), inner.room()), (queue.len(), size - queue.len()));
                ((), false)
            });
        }
    }
}

#[test]
fn who_waits_is_woken_by_octets_and_by_the_end() {
    for spin in [Duration::ZERO, Duration::from_millis(5), Duration::from_secs(60)] {
        let pipe = Arc::new(Pipe::new(16, true));
        let writer = Arc::clone(&pipe);
        #[expect(clippy::disallowed_methods, reason = "who waits needs somebody else")]
        let engine = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            writer.serve(|inner| (inner.put(b"now"), true));
            std::thread::sleep(Duration::from_millis(20));
            writer.end(End::Orderly);
        });
        let mut octets = [0; 8];
        let patience = Patience { spin, ..FOREVER };
        let read = pipe.wait(patience, |inner| Some(inner.take(&mut octets)).filter(|len| *len > 0));
        assert_eq!((read, &octets[..3]), (Ok(3), &b"now"[..]));
        assert_eq!(pipe.wait(patience, |inner| inner.end.clone()), Ok(End::Orderly));
        engine.join().expect("no panic");
    }
}

#[test]
fn patience_has_an_end() {
    let pipe = Pipe::new(16, true);
    let nothing = |most| pipe.wait(Patience { most, ..FOREVER }, |_| None::<()>);
    assert_eq!(nothing(Most::Nothing), Err(StreamError::WouldBlock));
    assert_eq!(nothing(Most::For(Duration::from_millis(10))), Err(StreamError::TimedOut));
    let spinner = Patience { spin: Duration::from_secs(9), ..patience(10) };
    assert_eq!(pipe.wait(spinner, |_| None::<()>), Err(StreamError::TimedOut), "spinning too");
    assert_eq!(pipe.wait(patience(0), |inner| Some(inner.len())), Ok(0), "what is there is there");
}

#[test]
fn first_end_stands() {
    let pipe = Pipe::new(16, true);
    pipe.end(End::Orderly);
    pipe.end(End::Failed(StreamError::PeerClosed));
    assert_eq!(pipe.wait(FOREVER, |inner| inner.end.clone()), Ok(End::Orderly));
}

#[test]
fn a_change_wakes_the_engine_if_it_says_so() {
    struct Counts(std::sync::atomic::AtomicU32);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let counts = Arc::new(Counts(0.into()));
    let waker = Waker::from(Arc::clone(&counts));
    let pipe = Pipe::new(16, true);
    pipe.change(&waker, |inner| std::mem::replace(&mut inner.is_shut, true));
    pipe.change(&waker, |inner| std::mem::replace(&mut inner.is_shut, true));
    assert_eq!(counts.0.load(std::sync::atomic::Ordering::Relaxed), 1);
}
