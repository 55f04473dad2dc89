//! The cases, in the order they are played. Each begins on a fresh stack.

use smolsmc::{Duration, Fallback, RmbeSize, SocketHandle, SocketOptions, Transport};

use super::hostile::{At, Damage};
use super::lab::Lab;

pub(super) struct Case {
    pub(super) name: &'static str,
    /// What must hold.
    pub(super) about: &'static str,
    pub(super) play: fn(&mut Lab<'_>) -> Result<(), String>,
    /// We break rules, so that only the peer's survival is judged.
    pub(super) is_hostile: bool,
    pub(super) needs_sink: bool,
    /// RoCE frames must pass a port of ours: one is damaged, or listened to.
    pub(super) needs_roce: bool,
}

const fn case(name: &'static str, about: &'static str, play: fn(&mut Lab<'_>) -> Result<(), String>) -> Case {
    Case { name, about, play, is_hostile: false, needs_sink: false, needs_roce: false }
}

const fn to_sink(
    name: &'static str,
    about: &'static str,
    play: fn(&mut Lab<'_>) -> Result<(), String>,
) -> Case {
    Case { needs_sink: true, ..case(name, about, play) }
}

const fn hostile(
    name: &'static str,
    about: &'static str,
    play: fn(&mut Lab<'_>) -> Result<(), String>,
) -> Case {
    Case { is_hostile: true, ..case(name, about, play) }
}

const fn with_roce(case: Case) -> Case {
    Case { needs_roce: true, ..case }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

pub(super) const CASES: &[Case] = &[
    case("first-contact", "a connection makes a link group and carries octets", first_contact),
    case("later-contact", "a second connection joins the link group", later_contact),
    case("sizes", "1 octet to 200 KiB come back as they were sent, around every wrap of the rings", sizes),
    case("bulk", "4 MiB both ways at once", |lab| ordinary(lab, SocketOptions::default(), 4 * MIB)),
    case("small-rmb", "512 KiB through an RMB of ours of 16 KiB", |lab| {
        with_rmb(lab, RmbeSize::KIB_16, MIB / 2)
    }),
    case("large-rmb", "2 MiB through an RMB of ours of 512 KiB", |lab| {
        with_rmb(lab, RmbeSize::KIB_512, 2 * MIB)
    }),
    case("small-sends", "2000 small sends in a row", small_sends),
    case("half-close", "after our D the peer still sends all, then ends (RFC 7609 §4.8)", half_close),
    case("empty", "a connection without an octet ends in order", empty),
    case("ring-full", "a reader of ours that pauses loses nothing", ring_full),
    case("concurrent", "32 connections at once keep their octets apart", concurrent),
    case("open-close", "50 connections one after the other", open_close),
    case("abort", "our abort ends one connection, and the next one of the group works", abort),
    case("close-unread", "a close with octets unread ends one connection alone", close_unread),
    with_roce(case("test-link", "TEST LINK is answered (RFC 7609 Appendix A.3.8)", test_link)),
    case("goodbye", "after DELETE LINK for all links the next contact is a first one", goodbye),
    case("restart", "a host that has forgotten everything is served as a new one", restart),
    case("eid-mismatch", "without a common EID the peer declines, and TCP carries all", eid_mismatch),
    case("plain-tcp", "a client without the SMC option is served over TCP", plain_tcp),
    with_roce(case(
        "lost-frames",
        "512 KiB arrive though one of 50 frames of ours has a wrong ICRC",
        lost_frames,
    )),
    to_sink("sink", "2 MiB one way, then the end of both", sink),
    hostile("clc-eyecatcher", "a Proposal with a wrong eyecatcher", |lab| clc(lab, 1, At::Start(0), &[0xff])),
    hostile("clc-trailer", "a Proposal with a wrong trailer", |lab| clc(lab, 1, At::End(4), &[0; 4])),
    hostile("clc-type", "a Proposal that calls itself type 15", |lab| clc(lab, 1, At::Start(4), &[15])),
    hostile("clc-accept-first", "an Accept in the place of a Proposal", |lab| {
        clc(lab, 1, At::Start(4), &[2])
    }),
    hostile("clc-short", "a Proposal that calls itself 8 octets long", |lab| {
        clc(lab, 1, At::Start(5), &[0, 8])
    }),
    hostile("clc-long", "a Proposal that calls itself 65535 octets long", |lab| {
        clc(lab, 1, At::Start(5), &[0xff, 0xff])
    }),
    hostile("clc-area", "a Proposal whose areas lie outside of it", |lab| {
        clc(lab, 1, At::Start(38), &[0xff, 0xff])
    }),
    hostile("clc-version", "a Proposal of version 15", |lab| clc(lab, 1, At::Start(7), &[0xf0])),
    hostile("clc-confirm", "a Confirm with a wrong eyecatcher", |lab| clc(lab, 3, At::Start(0), &[0xff])),
    with_roce(hostile("cdc-token", "CDC messages for a token that was never given out", |lab| {
        cdc(lab, 4, &[0xff; 4])
    })),
    with_roce(hostile("cdc-length", "CDC messages that call themselves 255 octets long", |lab| {
        cdc(lab, 1, &[0xff])
    })),
    with_roce(hostile("cdc-producer", "a producer cursor outside of the ring", |lab| {
        cdc(lab, 12, &[0xff; 4])
    })),
    with_roce(hostile("cdc-consumer", "a consumer cursor outside of the ring", |lab| {
        cdc(lab, 20, &[0xff; 4])
    })),
    with_roce(hostile("llc-type", "an LLC message of an unknown type", |lab| llc(lab, 0, &[0x3f]))),
    with_roce(hostile("llc-length", "an LLC message that calls itself 3 octets long", |lab| {
        llc(lab, 1, &[3])
    })),
];

// ---- scenarios ----

fn ordinary(lab: &mut Lab<'_>, options: SocketOptions, len: u64) -> Result<(), String> {
    let (socket, _) = lab.connect_with(options)?;
    lab.echo(socket, len)?;
    lab.part(socket)?;
    lab.expect_gone()
}

fn with_rmb(lab: &mut Lab<'_>, size: RmbeSize, len: u64) -> Result<(), String> {
    let mut options = SocketOptions::default();
    options.rmb_size = Some(size);
    ordinary(lab, options, len)
}

fn first_contact(lab: &mut Lab<'_>) -> Result<(), String> {
    let (socket, first) = lab.connect_with(SocketOptions::default())?;
    if !first {
        return Err("the peer takes us for somebody whom it knows".to_owned());
    }
    lab.echo(socket, 1000)?;
    lab.part(socket)?;
    lab.expect_gone()
}

fn later_contact(lab: &mut Lab<'_>) -> Result<(), String> {
    let first = lab.connect()?;
    let (second, is_first) = lab.connect_with(SocketOptions::default())?;
    if is_first {
        return Err("the second connection made a link group of its own".to_owned());
    }
    for socket in [second, first] {
        lab.echo(socket, 5000)?;
        lab.part(socket)?;
    }
    lab.expect_gone()
}

fn sizes(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect()?;
    for len in [1, 2, 255, 4096, 16 * KIB - 1, 16 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 200 * KIB]
    {
        lab.echo(socket, len).map_err(|why| format!("{len} octets: {why}"))?;
    }
    lab.part(socket)?;
    lab.expect_gone()
}

fn small_sends(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect()?;
    for round in 0..40 {
        let mut stream = lab.stream(50 * (1 + round));
        let len = usize::try_from(1 + round).unwrap_or(1);
        let mut chunk = vec![0; len];
        lab.wait("the small sends", |node| {
            while stream.send(node, socket, &mut chunk)? {}
            Ok(stream.sent == stream.len)
        })?;
        lab.finish(socket, stream)?;
    }
    lab.part(socket)?;
    lab.expect_gone()
}

fn half_close(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect()?;
    let mut stream = lab.stream(30_000);
    let mut chunk = vec![0; 30_000];
    lab.wait("room for 30 000 octets", |node| {
        stream.send(node, socket, &mut chunk)?;
        Ok(stream.sent == stream.len)
    })?;
    lab.shutdown(socket)?;
    lab.finish(socket, stream)?;
    lab.expect_end(socket)?;
    lab.close(socket);
    lab.expect_gone()
}

fn empty(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect()?;
    lab.part(socket)?;
    lab.expect_gone()
}

fn ring_full(lab: &mut Lab<'_>) -> Result<(), String> {
    let mut options = SocketOptions::default();
    options.rmb_size = Some(RmbeSize::KIB_16);
    let (socket, _) = lab.connect_with(options)?;
    let mut stream = lab.stream(MIB);
    lab.fill(socket, &mut stream)?;
    lab.pass(Duration::from_millis(500))?;
    lab.finish(socket, stream)?;
    lab.part(socket)?;
    lab.expect_gone()
}

fn concurrent(lab: &mut Lab<'_>) -> Result<(), String> {
    let mut pairs = Vec::new();
    for _ in 0..32 {
        pairs.push((lab.connect()?, lab.stream(100 * KIB), false));
    }
    let mut chunk = vec![0; 4096];
    lab.wait("32 echoes", |node| {
        for (socket, stream, done) in pairs.iter_mut().filter(|(.., done)| !done) {
            *done = stream.go_on(node, *socket, &mut chunk)?;
        }
        Ok(pairs.iter().all(|(.., done)| *done))
    })?;
    let sockets: Vec<_> = pairs.iter().map(|(socket, ..)| *socket).collect();
    for socket in sockets {
        lab.part(socket)?;
    }
    lab.expect_gone()
}

fn open_close(lab: &mut Lab<'_>) -> Result<(), String> {
    for number in 0..50 {
        let socket = lab.connect().map_err(|why| format!("connection {number}: {why}"))?;
        lab.echo(socket, 100 + number)?;
        lab.part(socket)?;
    }
    lab.expect_gone()
}

/// One connection that stays, to see that what happens to others does not touch it.
fn beside(
    lab: &mut Lab<'_>,
    play: impl FnOnce(&mut Lab<'_>, SocketHandle) -> Result<(), String>,
) -> Result<(), String> {
    let stays = lab.connect()?;
    let goes = lab.connect()?;
    play(lab, goes)?;
    lab.echo(stays, 20_000).map_err(|why| format!("the other connection: {why}"))?;
    let next = lab.connect()?;
    lab.echo(next, 1000).map_err(|why| format!("the next connection: {why}"))?;
    lab.part(next)?;
    lab.part(stays)?;
    lab.expect_gone()
}

fn abort(lab: &mut Lab<'_>) -> Result<(), String> {
    beside(lab, |lab, socket| {
        let mut stream = lab.stream(MIB);
        lab.fill(socket, &mut stream)?;
        lab.abort(socket);
        Ok(())
    })
}

fn close_unread(lab: &mut Lab<'_>) -> Result<(), String> {
    beside(lab, |lab, socket| {
        let mut stream = lab.stream(1000);
        lab.fill(socket, &mut stream)?;
        lab.wait("octets to be left unread", |node| {
            Ok(node.stack.socket(socket).is_ok_and(|socket| socket.readiness().readable))
        })?;
        lab.close(socket);
        Ok(())
    })
}

fn test_link(lab: &mut Lab<'_>) -> Result<(), String> {
    lab.restart(|config| config.timers.link.test_link = Duration::from_secs(1))?;
    let socket = lab.connect()?;
    lab.echo(socket, 1000)?;
    lab.pass(Duration::from_millis(3500))?;
    let (asked, answered) = lab.heard(|heard| {
        let count = |words: &str| heard.llc.iter().filter(|line| line.contains(words)).count();
        (count("TEST LINK request"), count("TEST LINK response"))
    });
    if asked == 0 {
        return Err("no TEST LINK was sent in 3 s of silence".to_owned());
    }
    if answered == 0 {
        return Err(format!("{asked} TEST LINK requests, no response"));
    }
    lab.echo(socket, 1000)?;
    lab.part(socket)?;
    lab.expect_gone()
}

fn goodbye(lab: &mut Lab<'_>) -> Result<(), String> {
    lab.serves()?;
    lab.node.say_goodbye()?;
    if !lab.node.stack.is_idle() {
        return Err("the link group did not end".to_owned());
    }
    let (socket, first) = lab.connect_with(SocketOptions::default())?;
    if !first {
        return Err("the next contact was no first one".to_owned());
    }
    lab.part(socket)?;
    lab.expect_gone()
}

fn restart(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect()?;
    lab.echo(socket, 1000)?;
    // Without a word.
    lab.restart(|_| {})?;
    let (socket, first) = lab.connect_with(SocketOptions::default())?;
    if !first {
        return Err("the peer took us for our former self".to_owned());
    }
    lab.echo(socket, 1000)?;
    lab.part(socket)?;
    lab.expect_gone()
}

fn over_tcp(lab: &mut Lab<'_>, options: SocketOptions) -> Result<Fallback, String> {
    let (socket, transport) = lab.connect_any(options)?;
    let Transport::Tcp(fallback) = transport else { return Err(format!("not TCP but {transport}")) };
    lab.echo(socket, 100 * KIB)?;
    lab.part(socket)?;
    lab.expect_gone()?;
    Ok(fallback)
}

fn eid_mismatch(lab: &mut Lab<'_>) -> Result<(), String> {
    let stranger = smolsmc::Eid::from_ascii("NOBODY-HAS-THIS-ONE").map_err(|error| error.to_string())?;
    lab.restart(|config| config.eids = vec![stranger])?;
    let fallback = over_tcp(lab, SocketOptions::default())?;
    // 0x0303xxxx: there is no way in common (Linux 6.12 smc_clc).
    match fallback.peer {
        Some(peer) if peer.0 >> 16 == 0x0303 => Ok(()),
        Some(peer) => Err(format!("declined with {:#010x} ({peer}), not with 0x0303xxxx", peer.0)),
        None => Err("the peer has not declined".to_owned()),
    }
}

fn plain_tcp(lab: &mut Lab<'_>) -> Result<(), String> {
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    over_tcp(lab, options)?;
    match lab.heard(|heard| heard.syn_ack) {
        Some(true) => Err("the SYN-ACK has the SMC option, and the SYN had not (RFC 7609 §3.1)".to_owned()),
        _ => Ok(()),
    }
}

fn lost_frames(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect()?;
    let lost = lab.damage(Damage::Icrc { one_of: 50 });
    lab.echo(socket, MIB / 2)?;
    lab.part(socket)?;
    lab.expect_gone()?;
    damaged(*lost.borrow())
}

fn sink(lab: &mut Lab<'_>) -> Result<(), String> {
    let socket = lab.connect_sink()?;
    let mut stream = lab.stream(2 * MIB);
    let mut chunk = vec![0; 65_536];
    lab.wait("the sink", |node| {
        while stream.send(node, socket, &mut chunk)? {}
        Ok(stream.sent == stream.len)
    })?;
    lab.part(socket)?;
    lab.expect_gone()
}

// ---- hostile cases: afterwards the peer must serve an ordinary connection ----

fn damaged(count: u32) -> Result<(), String> {
    if count == 0 { Err("no frame was damaged: this proves nothing".to_owned()) } else { Ok(()) }
}

/// The damaged connection must not become SMC-R.
fn clc(lab: &mut Lab<'_>, message: u8, at: At, octets: &'static [u8]) -> Result<(), String> {
    let count = lab.damage(Damage::Clc { message, at, octets });
    // Refused, reset, TCP, or silence: all of it is the peer's right.
    if let Ok((_, transport @ Transport::SmcR { .. })) = lab.connect_any(SocketOptions::default()) {
        return Err(format!("it became {transport} all the same"));
    }
    let count = *count.borrow();
    damaged(count)
}

/// What becomes of the damaged connection is the peer's affair.
fn cdc(lab: &mut Lab<'_>, at: usize, octets: &'static [u8]) -> Result<(), String> {
    let socket = lab.connect()?;
    let count = lab.damage(Damage::Cdc { at, octets });
    let mut stream = lab.stream(1000);
    let mut chunk = vec![0; 1000];
    let _sent = stream.send(&mut lab.node, socket, &mut chunk)?;
    lab.pass(Duration::from_secs(1))?;
    let count = *count.borrow();
    damaged(count)
}

fn llc(lab: &mut Lab<'_>, at: usize, octets: &'static [u8]) -> Result<(), String> {
    /// LLC type TEST LINK (RFC 7609 Appendix A.3).
    const TEST_LINK: u8 = 7;
    lab.restart(|config| config.timers.link.test_link = Duration::from_millis(300))?;
    lab.connect()?;
    let count = lab.damage(Damage::Llc { message: TEST_LINK, at, octets });
    lab.pass(Duration::from_secs(1))?;
    let count = *count.borrow();
    damaged(count)
}
