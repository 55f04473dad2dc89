//! Whose turn it is when many have something to send.

use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER};

/// Who has little to say does not wait for those whose rings are full.
#[test]
fn a_short_message_passes_those_with_much_to_send() {
    let mut pair = Pair::new(941);
    let streams: Vec<_> = (0..8).map(|_| pair.connect()).collect();
    let (hot, its_end) = pair.connect();
    for (stream, _) in &streams {
        while pair.lan.stack(CLIENT).socket(*stream).unwrap().send(&[7; 8192]).is_ok() {}
    }
    assert_eq!(pair.lan.stack(CLIENT).socket(hot).unwrap().send(&[1]), Ok(1));
    // Frame by frame until it has come; what of the others came before it is their
    // octets in one turn at most.
    let mut before = 0;
    pair.lan.until(Duration::from_secs(1), "the short message", |lan| {
        let mut octets = vec![0; 1 << 20];
        let mut take = |socket| lan.stack(SERVER).socket(socket).unwrap().recv(&mut octets).unwrap_or(0);
        let has_come = take(its_end) > 0;
        before += streams.iter().map(|(_, server)| take(*server)).sum::<usize>();
        has_come
    });
    assert!(before <= 64 * 1024, "{before} octets of the others came before it");
}

/// A poll ends after so many octets, says that there is more, and all of it comes.
#[test]
fn a_poll_writes_no_more_than_it_may() {
    let mut pair = Pair::of(942, |_, config| {
        (config.limits.write_turn, config.limits.octets) = (1000, 4000);
    });
    let streams: Vec<_> = (0..8).map(|_| pair.connect()).collect();
    let written = |pair: &mut Pair| {
        let connections = pair.lan.stack(CLIENT).connections();
        let left = |waiting: &smolsmc::ConnectionSummary| waiting.rings.map_or(0, |rings| rings.waiting);
        80_000 - connections.iter().map(left).sum::<u32>()
    };
    for (stream, _) in &streams {
        assert_eq!(pair.lan.stack(CLIENT).socket(*stream).unwrap().send(&[7; 10_000]), Ok(10_000));
    }
    // So that each of its turns is one poll.
    pair.lan.set_pace(CLIENT, Duration::from_micros(3));
    let (mut before, mut most) = (0, 0);
    for _ in 0..1000 {
        pair.lan.step_within(Duration::from_micros(1));
        let now = written(&mut pair);
        most = most.max(now - before);
        before = now;
    }
    assert!(most > 0 && most <= 4000, "{most} octets in one poll");
    for (_, server) in &streams {
        let mut received = 0;
        pair.lan.until(Duration::from_secs(30), "all octets", |lan| {
            received += lan.stack(SERVER).socket(*server).unwrap().recv(&mut [0; 4096]).unwrap_or(0);
            received == 10_000
        });
    }
}
