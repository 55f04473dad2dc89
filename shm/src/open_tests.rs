//! Greetings and memory that cannot be, and what cannot be done to ours.

use core::mem::MaybeUninit;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use smolsmc_verbs::{GidEntry, GidKind};
use smolsmc_wire::{Duration, Gid, Mac};

use crate::config::{Config, Limits, PortConfig};
use crate::error::{ConfigError, MemoryError, OpenError};
use crate::greeting::{self, Greeting};
use crate::map::Map;
use crate::open::Opening;

fn port() -> PortConfig {
    let gid = Gid::from_ipv4([10, 9, 0, 1]);
    PortConfig::new(Mac::default(), GidEntry { gid, kind: GidKind::RoCEv2, vlan: None })
}

fn opening(socket: UnixStream) -> Opening {
    let mut config = Config::new([1; 32]);
    config.limits.incoming_octets = 1 << 16;
    let mut opening = Opening::new(config).unwrap();
    opening.greet(socket, port()).unwrap();
    opening
}

fn ours() -> Greeting {
    Greeting::new(Limits::USUAL.layout(), 1 << 16, &port())
}

fn memory(len: u64, seals: SealFlags) -> OwnedFd {
    let file = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&file, len).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

fn control() -> OwnedFd {
    memory(Limits::USUAL.layout().len() as u64, SealFlags::SHRINK)
}

fn bell() -> OwnedFd {
    rustix::pipe::pipe().unwrap().0
}

/// What comes of a greeting that we hear with these descriptors.
fn hears(octets: &[u8], files: &[BorrowedFd<'_>]) -> OpenError {
    let (a, b) = UnixStream::pair().unwrap();
    let opening = opening(a);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(files));
    }
    rustix::net::sendmsg(&b, &[IoSlice::new(octets)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    opening.complete(Duration::from_millis(50)).unwrap_err()
}

#[test]
fn greetings_are_read_as_written() {
    let mut config = port();
    config.gids.push(GidEntry { gid: Gid([7; 16]), kind: GidKind::RoCEv1, vlan: None });
    let greeting = Greeting::new(Limits::USUAL.layout(), 1 << 30, &config);
    assert_eq!(Greeting::parse(&greeting.emit()).unwrap(), greeting);
}

#[test]
fn memory_that_could_be_cut_short_is_refused() {
    let (good, data) = (control(), memory(1 << 16, SealFlags::SHRINK));
    let unsealed = memory(1 << 16, SealFlags::GROW);
    let octets = ours().emit();
    let bell = bell();
    let error = hears(&octets, &[good.as_fd(), unsealed.as_fd(), bell.as_fd(), bell.as_fd()]);
    assert!(matches!(error, OpenError::Memory(MemoryError::Unsealed)), "{error}");
    let unsealed = memory(Limits::USUAL.layout().len() as u64, SealFlags::empty());
    let error = hears(&octets, &[unsealed.as_fd(), data.as_fd(), bell.as_fd(), bell.as_fd()]);
    assert!(matches!(error, OpenError::Memory(MemoryError::Unsealed)), "{error}");
}

#[test]
fn memory_that_is_too_short_is_refused() {
    let (good, short) = (control(), memory((1 << 16) - 1, SealFlags::SHRINK));
    let error = hears(&ours().emit(), &[good.as_fd(), short.as_fd(), bell().as_fd(), bell().as_fd()]);
    let said = MemoryError::Length { said: 1 << 16, got: (1 << 16) - 1 };
    assert!(matches!(error, OpenError::Memory(other) if other == said), "{error}");
}

#[test]
fn what_is_no_memory_file_is_refused() {
    let path = std::env::temp_dir().join(format!("smolsmc-shm-{}-file", std::process::id()));
    let file = std::fs::File::create_new(&path).unwrap();
    file.set_len(1 << 16).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (good, (pipe, _writer)) = (control(), rustix::pipe::pipe().unwrap());
    for bad in [file.as_fd(), pipe.as_fd()] {
        let error = hears(&ours().emit(), &[good.as_fd(), bad, bell().as_fd(), bell().as_fd()]);
        let refused = matches!(error, OpenError::Memory(MemoryError::Kind | MemoryError::Unsealed));
        assert!(refused, "{error}");
    }
}

/// A peer whose memory we may not write is of no use.
#[test]
fn memory_for_reading_only_is_refused() {
    let seals = SealFlags::SHRINK | SealFlags::FUTURE_WRITE;
    let (good, read_only) = (control(), memory(1 << 16, seals));
    let error = hears(&ours().emit(), &[good.as_fd(), read_only.as_fd(), bell().as_fd(), bell().as_fd()]);
    assert!(matches!(error, OpenError::System(_)), "{error}");
}

#[test]
fn bells_that_are_no_pipes_are_refused() {
    let (good, data) = (control(), memory(1 << 16, SealFlags::SHRINK));
    let bell = bell();
    for bells in [[bell.as_fd(), data.as_fd()], [good.as_fd(), bell.as_fd()]] {
        let error = hears(&ours().emit(), &[good.as_fd(), data.as_fd(), bells[0], bells[1]]);
        assert!(matches!(error, OpenError::Greeting(_)), "{error}");
    }
}

#[test]
fn greetings_that_cannot_be_are_refused() {
    let (good, data) = (control(), memory(1 << 16, SealFlags::SHRINK));
    let bell = bell();
    let files = [good.as_fd(), data.as_fd(), bell.as_fd(), bell.as_fd()];
    let mut bad: Vec<[u8; greeting::LEN]> = vec![[0; greeting::LEN], [0xff; greeting::LEN]];
    for (at, octets) in
        [(7, [3_u8; 4]), (8, [0xff; 4]), (8, [0; 4]), (16, [0, 0, 0, 3]), (20, [0; 4]), (38, [0; 4])]
    {
        let mut greeting = ours().emit();
        let len = 4.min(greeting.len() - at);
        greeting[at..at + len].copy_from_slice(&octets[..len]);
        bad.push(greeting);
    }
    let mut nothing_lent = ours();
    nothing_lent.data_len = 0;
    bad.push(nothing_lent.emit());
    for (n, octets) in bad.into_iter().enumerate() {
        let error = hears(&octets, &files);
        assert!(matches!(error, OpenError::Greeting(_)), "greeting {n}: {error}");
    }
    for files in [&files[..0], &files[..2]] {
        let error = hears(&ours().emit(), files);
        assert!(matches!(error, OpenError::Greeting(_)), "{error}");
    }
    let many = [good.as_fd(); 7];
    let error = hears(&ours().emit(), &many);
    assert!(matches!(error, OpenError::Greeting(_) | OpenError::Memory(_)), "{error}");
}

#[test]
fn a_peer_that_says_too_little() {
    let error = hears(&ours().emit()[..100], &[]);
    assert!(matches!(error, OpenError::TimedOut), "{error}");
    let (a, b) = UnixStream::pair().unwrap();
    let opening = opening(a);
    drop(b);
    assert!(matches!(opening.complete(Duration::from_secs(5)).unwrap_err(), OpenError::Closed));
    let (a, b) = UnixStream::pair().unwrap();
    drop(b);
    let mut opening = Opening::new(Config::new([1; 32])).unwrap();
    assert!(matches!(opening.greet(a, port()).unwrap_err(), OpenError::Closed));
}

/// Control memory is ours to write, whatever a peer does with its descriptor.
#[test]
fn nobody_else_can_write_control_memory() {
    let (own, file) = Map::create("test", 1 << 16, false).unwrap();
    own.write(10, b"ours");
    assert!(Map::of_peer(&file, 1 << 16, true).is_err(), "it cannot be mapped for writing");
    assert!(rustix::io::pwrite(&file, b"theirs", 10).is_err());
    assert!(ftruncate(&file, 100).is_err() && ftruncate(&file, 1 << 20).is_err());
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    assert!(rustix::fs::fallocate(&file, flags, 0, 4096).is_err(), "no hole can be punched");
    let peer = Map::of_peer(&file, 1 << 16, false).unwrap();
    let mut octets = [0; 4];
    peer.read(10, &mut octets);
    assert_eq!(&octets, b"ours");
    // Data memory can be written, but not cut short.
    let (_own, file) = Map::create("test", 1 << 16, true).unwrap();
    Map::of_peer(&file, 1 << 16, true).unwrap().write(0, b"theirs");
    assert!(ftruncate(&file, 100).is_err());
}

#[test]
fn configurations_that_cannot_be() {
    let limits: [fn(&mut Limits); 6] = [
        |limits| limits.max_qp = 0,
        |limits| limits.max_qp = 100,
        |limits| limits.message_slots = 8,
        |limits| limits.max_wr = (1 << 14) + 1,
        |limits| limits.incoming_octets = 0,
        |limits| limits.max_mr = 1 << 21,
    ];
    for spoil in limits {
        let mut config = Config::new([1; 32]);
        spoil(&mut config.limits);
        assert!(matches!(Opening::new(config).unwrap_err(), OpenError::Config(_)));
    }
    let ports: [fn(&mut PortConfig); 4] = [
        |port| port.gids.clear(),
        |port| port.gids = vec![port.gids[0]; 17],
        |port| port.gids[0].gid = Gid::default(),
        |port| port.ethernet_mtu = 9001,
    ];
    for spoil in ports {
        let (mut port, (a, _b)) = (port(), UnixStream::pair().unwrap());
        spoil(&mut port);
        let error = Opening::new(Config::new([1; 32])).unwrap().greet(a, port).unwrap_err();
        assert!(matches!(error, OpenError::Config(_)), "{error}");
    }
    let mut config = Config::new([1; 32]);
    config.limits.frame_slots = 16;
    let (a, _b) = UnixStream::pair().unwrap();
    let error = Opening::new(config).unwrap().greet(a, port()).unwrap_err();
    let expected = ConfigError::Limit { what: "octets of a frame", least: 9018, most: 44 + 15 * 60 };
    assert!(matches!(error, OpenError::Config(other) if other == expected), "{error}");
}

/// The socket is there to say when the peer is gone. What is said on it would wake whoever
/// waits, for ever.
#[test]
fn a_peer_that_talks_on_the_socket_loses_the_wire() {
    use std::io::Write;
    let (a, b) = UnixStream::pair().unwrap();
    let mut talker = b.try_clone().unwrap();
    let [one, two] = [a, b].map(opening);
    let [(mut one, _ports), (_two, _)] =
        [one, two].map(|opening| opening.complete(Duration::from_secs(5)).unwrap());
    talker.write_all(b"x").unwrap();
    let device = smolsmc_verbs::DeviceId(0);
    let begun = crate::clock::now();
    while one.fault(device).is_none() && crate::clock::now().since(begun) < Duration::from_secs(10) {
        one.progress();
    }
    assert_eq!(one.fault(device), Some(crate::WireFault::Message));
}
