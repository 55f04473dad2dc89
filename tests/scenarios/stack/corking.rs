//! How many messages many small sends make.

use smolsmc::{RmbeSize, SocketHandle, SocketOptions};
use smolsmc_cdc::CdcMessage;
use smolsmc_roce::packet::RocePacket;
use smolsmc_tests::sim::{Faults, Random};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, pattern, recv_some};

/// A pair whose frames take a while, so that acknowledgements do.
fn slow_pair(seed: u64, options: SocketOptions) -> (Pair, SocketHandle, SocketHandle) {
    let mut pair = Pair::of(seed, |_, config| {
        config.rmb_size = RmbeSize::from_code(1);
        config.send_size = RmbeSize::from_code(0);
    });
    let (client, server) = pair.connect_with(options);
    for host in [CLIENT, SERVER] {
        pair.lan.set_faults(host, Faults { delay: Duration::from_micros(500), ..Faults::default() });
    }
    (pair, client, server)
}

/// CDC messages the client has said.
fn messages(pair: &Pair) -> usize {
    let is_cdc = |frame: &[u8]| match RocePacket::parse(frame) {
        Ok(Some(packet)) => {
            let len = packet.payload.len();
            frame[29] == 1 && len == CdcMessage::LEN && packet.payload[0] == CdcMessage::TYPE
        }
        _ => false,
    };
    pair.lan.log.as_ref().unwrap().iter().filter(|(_, frame)| is_cdc(frame)).count()
}

/// Ten sends of 100 octets, 10 us apart, from octet `at` on.
fn ten_sends(pair: &mut Pair, client: SocketHandle, at: u64) {
    for n in 0..10 {
        let octets: Vec<u8> = (0..100).map(|octet| pattern(7, at + n * 100 + octet)).collect();
        assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&octets), Ok(100));
        pair.lan.step_within(Duration::from_micros(10));
    }
}

fn readable(pair: &mut Pair, server: SocketHandle) -> usize {
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    socket.peek(&mut [0; 40_000]).unwrap_or(0)
}

#[test]
fn ten_small_sends_are_two_messages_unless_asked_otherwise() {
    for (autocork, want) in [(None, 2), (Some(0), 10), (Some(250), 4)] {
        let mut options = SocketOptions::default();
        options.autocork = autocork;
        let (mut pair, client, server) = slow_pair(101, options);
        ten_sends(&mut pair, client, 0);
        pair.lan.run_for(Duration::from_millis(5));
        assert_eq!(messages(&pair), want, "{autocork:?}");
        assert_eq!(recv_some(&mut pair.lan, (SERVER, server), 7, 0), Some(1000));
        pair.explain();
    }
}

#[test]
fn a_cork_holds_until_it_is_pulled() {
    let mut options = SocketOptions::default();
    options.cork = true;
    let (mut pair, client, server) = slow_pair(102, options);
    ten_sends(&mut pair, client, 0);
    pair.lan.run_for(Duration::from_secs(100));
    assert_eq!((messages(&pair), readable(&mut pair, server)), (0, 0));
    pair.lan.stack(CLIENT).socket(client).unwrap().set_cork(false);
    pair.lan.run_for(Duration::from_millis(5));
    assert_eq!((messages(&pair), readable(&mut pair, server)), (1, 1000));
    // Nodelay lets go what is there, and nothing later.
    pair.lan.stack(CLIENT).socket(client).unwrap().set_cork(true);
    ten_sends(&mut pair, client, 1000);
    pair.lan.stack(CLIENT).socket(client).unwrap().set_nodelay(true);
    ten_sends(&mut pair, client, 2000);
    pair.lan.run_for(Duration::from_millis(5));
    assert_eq!((messages(&pair), readable(&mut pair, server)), (2, 2000));
    // An urgent octet takes along what is before it.
    pair.lan.stack(CLIENT).socket(client).unwrap().send_urgent(0).unwrap();
    pair.lan.run_for(Duration::from_millis(5));
    assert_eq!((messages(&pair), readable(&mut pair, server)), (3, 3000));
    assert_eq!(recv_some(&mut pair.lan, (SERVER, server), 7, 0), Some(3000));
    // And so does the end.
    ten_sends(&mut pair, client, 3000);
    pair.close(CLIENT, client);
    pair.lan.run_for(Duration::from_millis(5));
    assert_eq!(recv_some(&mut pair.lan, (SERVER, server), 7, 3000), Some(1000));
    assert_eq!(pair.read_to_end((SERVER, server)), 0);
}

#[test]
fn a_cork_gives_way_when_the_send_ring_is_full() {
    let (mut pair, client, server) = slow_pair(103, SocketOptions::default());
    pair.lan.stack(CLIENT).socket(client).unwrap().set_cork(true);
    let octets: Vec<u8> = (0..20_000).map(|n| pattern(7, n)).collect();
    assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&octets[..16_000]), Ok(16_000));
    pair.lan.run_for(Duration::from_secs(1));
    assert_eq!(readable(&mut pair, server), 0);
    assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&octets[16_000..]), Ok(384));
    pair.lan.run_for(Duration::from_millis(10));
    assert_eq!((messages(&pair), readable(&mut pair, server)), (1, 16_384));
    // What comes then is held again.
    pair.lan.stack(CLIENT).socket(client).unwrap().send(&octets[16_384..]).unwrap();
    pair.lan.run_for(Duration::from_secs(1));
    assert_eq!(readable(&mut pair, server), 16_384);
}

/// Random sends, reads and options: nothing is held for ever that should not be.
#[test]
fn whatever_is_set_everything_arrives() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let (mut pair, client, server) = slow_pair(seed, SocketOptions::default());
        let (len, mut sent, mut received) = (200_000_u64, 0, 0);
        pair.lan.until(Duration::from_secs(10_000), "the stream", |lan| {
            let mut socket = lan.stack(CLIENT).socket(client).unwrap();
            match random.below(8) {
                0 => socket.set_cork(random.chance(0.5)),
                1 => socket.set_nodelay(random.chance(0.5)),
                2 => socket.set_autocork(random.pick(&[None, Some(0), Some(100), Some(1 << 20)])),
                _ if sent < len => {
                    let most = random.pick(&[1, 10, 1000, 40_000]);
                    let end = len.min(sent + most);
                    let octets: Vec<u8> = (sent..end).map(|n| pattern(7, n)).collect();
                    sent += socket.send(&octets).unwrap_or(0) as u64;
                }
                _ => socket.set_cork(false),
            }
            if random.chance(0.5) {
                received += recv_some(lan, (SERVER, server), 7, received).unwrap_or(0);
            }
            received == len
        });
        pair.explain();
    }
}
