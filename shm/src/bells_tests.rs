use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::{Bell, Rope};

fn is_rung(bell: &Bell) -> bool {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&zero)).unwrap() > 0
}

fn pair() -> (Rope, Bell) {
    let rope = Rope::new().unwrap();
    let bell = Bell::of_peer(&rope.lent().try_clone_to_owned().unwrap()).unwrap();
    (rope, bell)
}

#[test]
fn a_ring_is_heard_until_it_is_silenced() {
    let (rope, bell) = pair();
    for rings in [1, 2, 200] {
        assert!(!is_rung(&bell));
        (0..rings).for_each(|_| rope.ring());
        assert!(is_rung(&bell));
        assert!(bell.silence());
    }
    assert!(!is_rung(&bell) && bell.silence());
}

/// Neither waits, however often it is rung, whatever the peer says of its descriptor.
#[test]
fn nobody_waits() {
    let (rope, bell) = pair();
    rustix::fs::fcntl_setfl(rope.lent(), OFlags::empty()).unwrap();
    assert!(bell.silence(), "nothing was rung");
    (0..100_000).for_each(|_| rope.ring());
    assert!(bell.silence() && is_rung(&bell));
    for _ in 0..10_000 {
        assert!(bell.silence());
    }
    assert!(!is_rung(&bell));
}

#[test]
fn the_end_of_a_rope_is_noticed_and_is_no_signal() {
    let (rope, bell) = pair();
    drop(rope);
    assert!(is_rung(&bell) && !bell.silence());
    let (rope, bell) = pair();
    drop(bell);
    rope.ring();
}

#[test]
fn what_is_no_pipe_is_no_bell() {
    let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    Bell::of_peer(&memory).unwrap_err();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    Bell::of_peer(&socket.into()).unwrap_err();
}
