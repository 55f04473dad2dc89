//! The kernel's TCP at one end of a veth pair, smoltcp's over `packet:` at the other.
//! The kernel takes the pair for a NIC that computes checksums and cuts segments, and
//! leaves both to it: what arrives is as long as the kernel's merging (GRO) makes it on
//! a NIC, and as incomplete.
//!
//! Needs root and iproute2, and says so where it has them not.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the kernel's TCP has a clock")]
#![allow(clippy::expect_used, reason = "a test")]

use std::fs::{File, read_to_string};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use smolsmc_ethernet::{Port, Watch, Watched, wait};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

const OCTETS: usize = 8 << 20;
const OURS: Ipv4Address = Ipv4Address::new(10, 78, 0, 11);
const TCP_PORT: u16 = 5000;
/// What an Ethernet frame has at most at an MTU of 1500.
const FRAME_LEN: usize = 1514;

/// Two namespaces with a cable between them, gone when this is.
struct Cable([String; 2]);

impl Cable {
    fn new(name: &str) -> Option<Self> {
        let cable = Self(["near", "far"].map(|end| format!("smolsmc-{name}-{}-{end}", std::process::id())));
        let [near, far] = &cable.0;
        let made = ip(&format!("netns add {near}"))
            && ip(&format!("netns add {far}"))
            && ip(&format!("link add veth1 netns {near} type veth peer name veth2 netns {far}"))
            && ip(&format!("-n {near} link set veth1 promisc on up"))
            && ip(&format!("-n {far} addr add 10.78.0.2/24 dev veth2"))
            && ip(&format!("-n {far} link set veth2 up"));
        if !made {
            eprintln!("skipped: a veth pair between two namespaces needs root and iproute2");
        }
        made.then_some(cable)
    }

    /// Moves this thread to the near end (0), or the far one.
    fn enter(&self, end: usize) {
        let namespace = File::open(format!("/run/netns/{}", self.0[end])).expect("it was made");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).output().is_ok_and(|done| done.status.success())
}

/// Segments that TCP of this thread's namespace has sent again.
fn sent_again() -> u64 {
    let text = read_to_string("/proc/thread-self/net/snmp").expect("procfs");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let at = names.split(' ').position(|name| name == "RetransSegs").expect("it is counted");
    values.split(' ').nth(at).and_then(|value| value.parse().ok()).expect("a number")
}

fn octet(at: usize) -> u8 {
    (at % 251) as u8
}

/// Sends all, and reads what comes back until the end.
fn kernel() -> (u64, Vec<u8>) {
    // Who does not come through ends with an error, and not never.
    let patience = Duration::from_secs(20);
    let to = SocketAddr::from((OURS, TCP_PORT));
    let mut stream = TcpStream::connect_timeout(&to, patience).expect("a connection");
    stream.set_write_timeout(Some(patience)).expect("a time");
    stream.set_read_timeout(Some(patience)).expect("a time");
    let octets: Vec<_> = (0..OCTETS).map(octet).collect();
    stream.write_all(&octets).expect("the other end reads");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("the other end closes");
    (sent_again(), back)
}

/// The longest frame, and how many have more than the MTU.
#[derive(Default)]
struct Longest(usize, u32);

impl Watch for Longest {
    fn received(&mut self, _: smoltcp::time::Instant, frame: &[u8]) {
        self.0 = self.0.max(frame.len());
        self.1 += u32::from(frame.len() > FRAME_LEN);
    }

    fn sending(&mut self, _: smoltcp::time::Instant, _: &mut [u8]) {}
}

/// Listens, reads [`OCTETS`] octets, answers "done", closes; what was seen meanwhile.
fn ours(port: Port, other: &ScopedJoinHandle<'_, (u64, Vec<u8>)>) -> Longest {
    let mut port = Watched::over(port, Longest::default());
    let begun = Instant::now();
    let now = || smoltcp::time::Instant::from_micros(begun.elapsed().as_micros() as i64);
    let config = Config::new(EthernetAddress([2, 0, 0, 0, 78, 1]).into());
    let mut interface = Interface::new(config, &mut port, now());
    interface.update_ip_addrs(|all| all.push(IpCidr::new(OURS.into(), 24)).expect("room"));
    let [receive, send] = [512 << 10, 4096].map(|len| tcp::SocketBuffer::new(vec![0; len]));
    let mut sockets = SocketSet::new(Vec::new());
    let handle = sockets.add(tcp::Socket::new(receive, send));
    sockets.get_mut::<tcp::Socket>(handle).listen(TCP_PORT).expect("a free port");
    let mut got = 0;
    while !other.is_finished() {
        interface.poll(now(), &mut port, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket>(handle);
        while socket.can_recv() && got < OCTETS {
            let take = |octets: &mut [u8]| {
                let right = octets.iter().zip(got..).all(|(is, at)| *is == octet(at));
                assert!(right, "other octets than were sent, behind {got}");
                (octets.len(), octets.len())
            };
            got += socket.recv(take).expect("it stands");
            if got == OCTETS {
                socket.send_slice(b"done").expect("room");
                socket.close();
            }
        }
        let pause = interface.poll_delay(now(), &sockets).map_or(50_000, |delay| delay.total_micros());
        wait([port.device()], Some(Duration::from_micros(pause.min(50_000)))).expect("poll(2)");
    }
    assert_eq!(got, OCTETS);
    assert_eq!(port.device().lost(), 0);
    port.into_device_and_watch().1
}

/// The kernel at the far end sends to us at the near one: what we saw, and how many
/// segments it sent again.
fn transfer(cable: &Cable) -> (Longest, u64) {
    let begun = Instant::now();
    let (longest, (sent_again, back)) = std::thread::scope(|scope| {
        let near = scope.spawn(|| {
            cable.enter(0);
            // It is there before the kernel asks for it.
            let port = Port::open("packet:veth1").expect("root may");
            let far = scope.spawn(|| {
                cable.enter(1);
                kernel()
            });
            (ours(port, &far), far.join().expect("the kernel's end"))
        });
        near.join().expect("our end")
    });
    let (took, Longest(len, merged)) = (begun.elapsed(), &longest);
    eprintln!("{OCTETS} octets in {took:?}; {sent_again} segments again; {merged} frames of up to {len}");
    assert_eq!(back, b"done");
    (longest, sent_again)
}

#[test]
fn what_the_kernel_left_to_hardware_arrives_and_nothing_is_sent_again() {
    let Some(cable) = Cable::new("tso") else { return };
    let (longest, sent_again) = transfer(&cable);
    assert!(longest.0 > 2 * FRAME_LEN, "the kernel leaves the cutting to us: {}", longest.0);
    assert!(sent_again < 10, "{sent_again} segments were sent again");
}

#[test]
fn what_the_kernel_merged_arrives_and_nothing_is_sent_again() {
    let Some(cable) = Cable::new("gro") else { return };
    let [near, far] = &cable.0;
    // The far end computes and cuts, the near one merges.
    let set = |words: String| ip(&format!("netns exec {words}"));
    if !set(format!("{far} ethtool -K veth2 tx off tso off"))
        || !set(format!("{near} ethtool -K veth1 gro on"))
    {
        eprintln!("skipped: the kernel merges on a veth pair if ethtool tells it to");
        return;
    }
    let (longest, sent_again) = transfer(&cable);
    assert!(longest.0 > FRAME_LEN, "the kernel merges");
    assert!(sent_again < OCTETS as u64 / 1448 / 20, "{sent_again} segments were sent again");
}
