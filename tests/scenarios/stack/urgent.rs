//! Urgent octets, between whole stacks.

use smolsmc::{RecvError, RmbeSize, SendError, SocketHandle, SocketOptions};
use smolsmc_cdc::{CdcMessage, ProducerFlags};
use smolsmc_roce::packet::RocePacket;
use smolsmc_tests::sim::{Faults, Lan, Random, second_port};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

fn inline_pair(seed: u64, inline: bool) -> (Pair, SocketHandle, SocketHandle) {
    let mut pair = Pair::of(seed, |host, config| {
        config.rmb_size = RmbeSize::from_code(0);
        config.send_size = RmbeSize::from_code(if host == CLIENT { 1 } else { 0 });
    });
    let (client, server) = pair.connect();
    pair.lan.stack(SERVER).socket(server).unwrap().set_urgent_inline(inline);
    (pair, client, server)
}

fn recv(lan: &mut Lan, socket: SocketHandle, most: usize) -> Vec<u8> {
    let mut octets = vec![0; most];
    match lan.stack(SERVER).socket(socket).unwrap().recv(&mut octets) {
        Ok(len) => octets.truncate(len),
        Err(RecvError::WouldBlock) => octets.clear(),
        Err(error) => panic!("{error}"),
    }
    octets
}

/// P and U of the client's CDC messages, in order.
fn flags_said(pair: &Pair) -> Vec<ProducerFlags> {
    let mut said = Vec::new();
    for (_, frame) in pair.lan.log.as_ref().unwrap() {
        if let Ok(Some(packet)) = RocePacket::parse(frame)
            && frame[29] == 1
            && let Ok(message) = CdcMessage::parse(packet.payload)
            && packet.payload.first() == Some(&CdcMessage::TYPE)
        {
            said.push(
                message.producer_flags & (ProducerFlags::URGENT_PENDING | ProducerFlags::URGENT_PRESENT),
            );
        }
    }
    said
}

#[test]
fn out_of_band_it_is_fetched_early_and_left_out_of_the_stream() {
    let (mut pair, client, server) = inline_pair(91, false);
    let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
    socket.send(b"before").unwrap();
    socket.send_urgent(b'!').unwrap();
    socket.send(b"behind").unwrap();
    pair.lan.run_for(Duration::from_millis(10));
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    assert!(socket.readiness().urgent && !socket.is_at_urgent());
    assert_eq!((socket.recv_urgent(), socket.recv_urgent()), (Some(b'!'), None));
    assert_eq!(socket.readable_span().map(|span| smolsmc::RemoteSpan::len(&span)), Ok(6));
    assert_eq!(recv(&mut pair.lan, server, 100), b"before");
    assert!(pair.lan.stack(SERVER).socket(server).unwrap().is_at_urgent());
    pair.lan.run_for(Duration::from_millis(10));
    assert_eq!(recv(&mut pair.lan, server, 100), b"behind");
    assert!(!pair.lan.stack(SERVER).socket(server).unwrap().is_at_urgent());
    let said = flags_said(&pair);
    let both = ProducerFlags::URGENT_PENDING | ProducerFlags::URGENT_PRESENT;
    assert_eq!(said, [both, ProducerFlags::empty()]);
    pair.explain();
}

#[test]
fn inline_reads_stop_before_it() {
    let (mut pair, client, server) = inline_pair(92, true);
    let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
    socket.send(b"before").unwrap();
    socket.send_urgent(b'!').unwrap();
    pair.lan.run_for(Duration::from_millis(10));
    assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv_urgent(), None);
    assert_eq!(recv(&mut pair.lan, server, 100), b"before");
    assert!(pair.lan.stack(SERVER).socket(server).unwrap().is_at_urgent());
    // Out of band from now on, it can still be fetched.
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    socket.set_urgent_inline(false);
    assert_eq!(socket.recv_urgent(), Some(b'!'));
    assert_eq!(recv(&mut pair.lan, server, 100), b"");
}

#[test]
fn a_peer_with_a_full_ring_hears_that_one_is_coming() {
    let (mut pair, client, server) = inline_pair(93, false);
    let mut sent = 0;
    for _ in 0..3 {
        sent += send_some(&mut pair.lan, (CLIENT, client), 7, sent, 20_000);
        pair.lan.run_for(Duration::from_millis(5));
    }
    assert_eq!(sent, 20_000);
    pair.lan.stack(CLIENT).socket(client).unwrap().send_urgent(b'!').unwrap();
    pair.lan.run_for(Duration::from_millis(5));
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    assert!(socket.is_urgent_expected());
    assert_eq!(socket.recv_urgent(), None);
    let mut received = 0;
    pair.lan.until(Duration::from_secs(1), "the octets", |lan| {
        received += recv_some(lan, (SERVER, server), 7, received).unwrap_or(0);
        received == sent
    });
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    assert_eq!(socket.recv_urgent(), Some(b'!'));
    assert!(!socket.is_urgent_expected());
}

/// A reader that stands right before it, or anywhere before it, for longer than
/// any timer: a Linux one would read what came behind it shifted by one octet.
#[test]
fn what_is_behind_it_waits_until_the_peer_has_read_past_it() {
    for reads_to_it in [false, true] {
        // Inline a reader can stand right before it.
        let (mut pair, client, server) = inline_pair(94, true);
        let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
        socket.send(b"before").unwrap();
        socket.send_urgent(b'!').unwrap();
        socket.send(b"behind").unwrap();
        pair.lan.run_for(Duration::from_millis(10));
        let mut stream = Vec::new();
        if reads_to_it {
            stream = recv(&mut pair.lan, server, 100);
            assert_eq!(stream, b"before");
        }
        pair.lan.run_for(Duration::from_secs(3600));
        assert_eq!(flags_said(&pair).len(), 1, "{reads_to_it}");
        pair.lan.until(Duration::from_secs(1), "what is behind it", |lan| {
            stream.extend(recv(lan, server, 100));
            stream.len() >= 13
        });
        assert_eq!(stream, b"before!behind", "{reads_to_it}");
    }
}

/// One that comes first is passed at once, so that a newer one need not wait.
#[test]
fn the_newest_is_fetched_and_the_older_one_is_in_the_stream() {
    let (mut pair, client, server) = inline_pair(94, false);
    for octet in *b"12" {
        pair.lan.stack(CLIENT).socket(client).unwrap().send_urgent(octet).unwrap();
    }
    pair.lan.run_for(Duration::from_millis(10));
    assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv_urgent(), Some(b'2'), "the newest");
    assert_eq!(recv(&mut pair.lan, server, 100), b"1");
}

#[test]
fn tcp_says_that_it_has_none() {
    let mut pair = Pair::new(95);
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    let (client, server) = pair.connect_with(options);
    assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send_urgent(b'!'), Err(SendError::NoUrgent));
    assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv_urgent(), None);
    let client = pair.begin(options);
    assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send_urgent(b'!'), Err(SendError::WouldBlock));
}

/// The link dies under an urgent octet, and the small sends around it wait for no
/// acknowledgement of what went with it.
#[test]
fn it_goes_over_another_link_when_its_own_dies() {
    for acknowledged in [false, true] {
        let mut pair = Pair::of(96, second_port);
        let (client, server) = pair.connect();
        pair.lan.run_for(Duration::from_millis(50));
        let lost = Faults { loss: 1.0, ..Faults::default() };
        if !acknowledged {
            pair.lan.set_port_faults(CLIENT, 0, lost.clone());
        }
        let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
        socket.send(b"before").unwrap();
        socket.send_urgent(b'!').unwrap();
        socket.send(b"behind").unwrap();
        pair.lan.run_for(Duration::from_millis(2));
        pair.lan.set_port_faults(CLIENT, 0, lost);
        pair.lan.until(Duration::from_secs(9), "the other link", |lan| {
            let octet = lan.stack(SERVER).socket(server).unwrap().recv_urgent();
            assert!(octet.is_none_or(|octet| octet == b'!'));
            octet.is_some()
        });
        let mut stream = Vec::new();
        pair.lan.until(Duration::from_secs(60), "what is behind it", |lan| {
            stream.extend(recv(lan, server, 100));
            stream.len() >= 12
        });
        assert_eq!(stream, b"beforebehind", "{acknowledged}");
        assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv_urgent(), None, "once");
    }
}

/// Ordinary octets are below 128; urgent ones are numbered from there.
fn run(seed: u64, inline: bool) {
    let (mut pair, client, server) = inline_pair(seed, inline);
    let mut random = Random::new(seed);
    let jitter = Duration::from_micros(random.between(0, 500));
    pair.lan.set_faults(CLIENT, Faults { loss: 0.03, jitter, ..Faults::default() });
    let (mut sent, mut stream, mut fetched) = (Vec::new(), Vec::new(), Vec::new());
    let (mut urgent, mut expected) = (128, 0);
    pair.lan.until(Duration::from_secs(5000), "the stream", |lan| {
        let mut socket = lan.stack(CLIENT).socket(client).unwrap();
        if urgent < 250 && random.chance(0.3) {
            if random.chance(0.2) && socket.send_urgent(urgent).is_ok() {
                sent.push(urgent);
                urgent += 1;
            } else {
                let octets = vec![(sent.len() % 128) as u8; random.between(1, 3000) as usize];
                let len = socket.send(&octets).unwrap_or(0);
                sent.extend(&octets[..len]);
                expected += len;
            }
        }
        if random.chance(0.5) {
            stream.extend(recv(lan, server, random.between(1, 4000) as usize));
        }
        if random.chance(0.5) {
            fetched.extend(lan.stack(SERVER).socket(server).unwrap().recv_urgent());
        }
        urgent == 250 && stream.iter().filter(|octet| **octet < 128).count() == expected
    });
    for _ in 0..20 {
        pair.lan.run_for(Duration::from_secs(1));
        stream.extend(recv(&mut pair.lan, server, 10));
        fetched.extend(pair.lan.stack(SERVER).socket(server).unwrap().recv_urgent());
    }
    if inline {
        assert!(fetched.is_empty());
        assert!(stream == sent, "{} octets of {}", stream.len(), sent.len());
        return;
    }
    // In the stream only those that were not the newest any more.
    assert!(fetched.is_sorted_by(|a, b| a < b), "{fetched:?}");
    assert!(!fetched.is_empty());
    let mut left = sent.iter();
    for octet in &stream {
        assert!(!fetched.contains(octet), "{octet} came twice");
        let skipped: Vec<_> = left.by_ref().take_while(|sent| *sent != octet).collect();
        assert!(skipped.iter().all(|octet| **octet >= 128), "ordinary octets in their order: {skipped:?}");
    }
    assert!(left.all(|octet| *octet >= 128));
    pair.explain();
}

#[test]
fn every_octet_has_its_place_whatever_is_urgent() {
    for seed in 0..6 {
        run(seed, false);
        run(seed, true);
    }
}
