//! A port that has room for a few frames between two polls: who goes when.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use smolsmc::{ListenOptions, SocketHandle, SocketOptions};
use smolsmc_decode::Kind;
use smolsmc_tests::sim::second_port;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, PORT, Pair, SERVER};

type Ends = (SocketHandle, SocketHandle);

fn plain() -> SocketOptions {
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    options
}

/// Steps of a microsecond until `done`.
fn steps(pair: &mut Pair, most: u32, what: &str, mut done: impl FnMut(&mut Pair) -> bool) {
    for _ in 0..most {
        if done(pair) {
            return;
        }
        pair.lan.step_within(Duration::from_micros(1));
    }
    panic!("{what}: not within {most} steps");
}

fn send(pair: &mut Pair, client: SocketHandle) {
    assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&[7]), Ok(1));
}

fn came(pair: &mut Pair, server: SocketHandle) -> bool {
    pair.lan.stack(SERVER).socket(server).unwrap().recv(&mut [0]) == Ok(1)
}

/// The client sends as much as there is room for on all of these, and the server takes
/// what comes.
fn stream(pair: &mut Pair, streams: &[Ends]) {
    for (client, server) in streams {
        let _ = pair.lan.stack(CLIENT).socket(*client).unwrap().send(&[1; 100_000]);
        let _ = pair.lan.stack(SERVER).socket(*server).unwrap().recv(&mut [0; 100_000]);
    }
}

/// Octets go each way of carrying them while the other one fills the port.
fn beside_streams(seed: u64, of_streams: SocketOptions, of_octet: SocketOptions) {
    let mut pair = Pair::new(seed);
    let streams: Vec<_> = (0..8).map(|_| pair.connect_with(of_streams)).collect();
    let (client, server) = pair.connect_with(of_octet);
    pair.lan.set_room(CLIENT, 2);
    for _ in 0..20 {
        stream(&mut pair, &streams);
        pair.lan.step_within(Duration::from_micros(1));
    }
    for _ in 0..10 {
        send(&mut pair, client);
        steps(&mut pair, 12, "the octet", |pair| {
            stream(pair, &streams);
            came(pair, server)
        });
    }
}

#[test]
fn roce_does_not_wait_for_the_end_of_what_tcp_has_to_say() {
    beside_streams(81, plain(), SocketOptions::default());
}

#[test]
fn tcp_does_not_wait_for_the_end_of_what_roce_has_to_say() {
    beside_streams(82, SocketOptions::default(), plain());
}

#[test]
fn a_connection_begins_beside_those_that_fill_the_port() {
    let mut pair = Pair::new(83);
    let mut streams: Vec<_> = (0..6).map(|_| pair.connect_with(plain())).collect();
    streams.extend((0..6).map(|_| pair.connect()));
    pair.lan.set_room(CLIENT, 2);
    let client = pair.begin(plain());
    steps(&mut pair, 100, "the connection", |pair| {
        stream(pair, &streams);
        pair.lan.stack(CLIENT).socket(client).unwrap().transport().is_some()
    });
}

/// Who waited on one port made those of the other wait a millisecond.
#[test]
fn a_full_port_holds_nobody_up_on_another() {
    let mut pair = Pair::of(84, |host, config| {
        second_port(host, config);
        config.max_links = 1;
    });
    let elsewhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 1, 2)), PORT);
    let listener = pair.lan.stack(SERVER).listen(elsewhere, ListenOptions::USUAL).unwrap();
    let here: Vec<_> = (0..10).map(|_| pair.connect_with(plain())).collect();
    let there: Vec<Ends> = (0..10)
        .map(|_| {
            let client = pair.lan.stack(CLIENT).connect(elsewhere, plain()).unwrap();
            let mut server = None;
            pair.lan.until(Duration::from_secs(1), "the connection", |lan| {
                server = server.or_else(|| lan.stack(SERVER).accept(listener));
                server.is_some()
            });
            (client, server.unwrap())
        })
        .collect();
    pair.lan.set_port_room((CLIENT, 0), 0);
    pair.lan.set_port_room((CLIENT, 1), 1);
    for (client, _) in here.iter().chain(&there) {
        send(&mut pair, *client);
    }
    let mut left = there.len();
    steps(&mut pair, 50, "octets over the other port", |pair| {
        left -= there.iter().filter(|(_, server)| came(pair, *server)).count();
        left == 0
    });
    assert!(!here.iter().any(|(_, server)| came(&mut pair, *server)));
}

/// RoCE's last ACK went before TCP's FIN: then the server said FIN first, and had its
/// port in TIME-WAIT for a minute.
#[test]
fn time_wait_is_for_who_closes_first() {
    let mut pair = Pair::new(85);
    let sockets: Vec<_> = (0..40).map(|_| pair.connect()).collect();
    pair.lan.set_room(CLIENT, 1);
    sockets.iter().for_each(|(client, _)| pair.close(CLIENT, *client));
    pair.lan.run_for(Duration::from_millis(20));
    sockets.iter().for_each(|(_, server)| pair.close(SERVER, *server));
    pair.lan.run_for(Duration::from_millis(500));
    let waits = [CLIENT, SERVER].map(|host| pair.lan.stack(host).held().time_waits);
    assert_eq!(waits, [40, 0]);
}

/// The peer's FIN is waited for, but not for ever.
#[test]
fn a_fin_that_never_comes_keeps_nobody() {
    const TCP_FLAGS: usize = 47;
    let mut pair = Pair::new(86);
    let (client, server) = pair.connect();
    pair.lan.meddler = Some(Box::new(|host, frame| {
        if host == CLIENT && frame[23] == 6 && frame[TCP_FLAGS] & 1 != 0 {
            // No protocol that anybody knows.
            frame[12] = 0xff;
        }
    }));
    pair.close(CLIENT, client);
    pair.lan.run_for(Duration::from_millis(20));
    pair.close(SERVER, server);
    pair.lan.run_for(Duration::from_secs(1));
    let fins = |pair: &Pair| pair.said(Kind::Tcp).iter().filter(|said| said.contains("FIN")).count();
    assert_eq!(fins(&pair), 0);
    pair.lan.run_for(Duration::from_secs(2));
    assert!(fins(&pair) > 0, "it says its own FIN after a while");
    pair.lan.run_for(Duration::from_secs(60));
    assert_eq!(pair.lan.stack(SERVER).held().connections, 0);
}
