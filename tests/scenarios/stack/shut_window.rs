//! TCP after a fallback, and a reader that stops: what was sent before the close
//! comes to the last octet, whichever windows were shut meanwhile.

use smolsmc::SocketOptions;
use smolsmc_tests::sim::{Faults, Random};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

fn seeds(most: u64) -> u64 {
    std::env::var("SMOLSMC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(most)
}

#[test]
fn what_was_sent_before_a_close_on_a_shut_window_arrives() {
    for seed in 0..seeds(300) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed);
        let mut options = SocketOptions::default();
        options.plain_tcp = true;
        let (client, server) = pair.connect_with(options);
        let from_client = random.chance(0.5);
        let (from, to) = if from_client {
            ((CLIENT, client), (SERVER, server))
        } else {
            ((SERVER, server), (CLIENT, client))
        };
        if random.chance(0.5) {
            for host in [CLIENT, SERVER] {
                let loss = Faults::share(&mut random, 0.1);
                pair.lan.set_faults(host, Faults { loss, ..Faults::unruly(&mut random) });
            }
        }
        // Near the size of both buffers, or anything.
        let total = if random.chance(0.7) {
            random.between(1, 5) * 65_536 + random.below(5) - 2
        } else {
            random.between(1, 400_000)
        };
        let (mut sent, mut received, mut is_closed, mut is_over) = (0, 0, false, false);
        let longest = random.pick(&[20_000, 3_000_000, 90_000_000]);
        // Who closes does not wait for a reader for ever.
        let closes = longest < 1_000_000 && random.chance(0.5);
        let start = pair.lan.now();
        while !is_over {
            let late = pair.lan.now().since(start) > Duration::from_secs(6000);
            assert!(!late, "seed {seed}: {received} of {total} came, {sent} sent, closed: {is_closed}");
            if sent < total {
                sent += send_some(&mut pair.lan, from, 7, sent, total);
            } else if !is_closed && random.chance(0.3) {
                let mut socket = pair.lan.stack(from.0).socket(from.1).unwrap();
                if closes {
                    socket.close();
                } else {
                    socket.shutdown();
                };
                is_closed = true;
            }
            if random.chance(0.6)
                && let Some(more) = recv_some(&mut pair.lan, to, 7, received)
            {
                is_over = more == 0;
                received += more;
            }
            let pause =
                if random.chance(0.05) { random.between(1, longest) } else { random.between(1, 2000) };
            pair.lan.run_for(Duration::from_micros(pause));
        }
        assert_eq!((sent, received), (total, total), "seed {seed}");
    }
}
