//! What is told of a life: each fact once, in order, and no more than there is
//! room for.

use smolsmc::{ConnectionError, Event, GroupNumber, LinkNumber, Role, SocketOptions, Transport};
use smolsmc_tests::sim::Faults;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER};

fn events(pair: &mut Pair, host: usize) -> Vec<Event> {
    std::iter::from_fn(|| pair.lan.stack(host).next_event()).collect()
}

const GROUP: GroupNumber = GroupNumber(1);

#[test]
fn a_whole_life_is_told_once() {
    let mut pair = Pair::new(81);
    let (client, server) = pair.connect();
    let transport = pair.transport(CLIENT, client);
    let told = events(&mut pair, CLIENT);
    let Some(Event::GroupUp { group: GROUP, role: Role::Client, peer_id }) = told.first() else {
        panic!("{told:?}")
    };
    assert_ne!(peer_id.instance, 0);
    let rest =
        [Event::LinkUp { group: GROUP, link: LinkNumber(1) }, Event::Connected { socket: client, transport }];
    assert_eq!(told[1..], rest);

    let transport = pair.transport(SERVER, server);
    let told = events(&mut pair, SERVER);
    assert!(matches!(told[0], Event::GroupUp { group: GROUP, role: Role::Server, .. }), "{told:?}");
    let accepted = Event::Accepted { listener: pair.listener, socket: server, transport };
    assert_eq!(told[1..], [Event::LinkUp { group: GROUP, link: LinkNumber(1) }, accepted]);

    pair.transfer((CLIENT, client), (SERVER, server), 100_000);
    assert_eq!((events(&mut pair, CLIENT), events(&mut pair, SERVER)), (vec![], vec![]));
    pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
    pair.transfer((SERVER, server), (CLIENT, client), 100_000);
    assert_eq!(events(&mut pair, SERVER), [Event::PeerClosed { socket: server }]);
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.lan.stack(SERVER).leave();
    pair.lan.until(Duration::from_secs(10), "the end of the groups", |lan| {
        lan.stack(CLIENT).is_idle() && lan.stack(SERVER).is_idle()
    });
    for host in [CLIENT, SERVER] {
        let told = events(&mut pair, host);
        assert!(matches!(told[..], [Event::GroupDown { group: GROUP, .. }]), "{told:?}");
        assert_eq!(pair.lan.stack(host).events_lost(), 0);
    }
}

#[test]
fn tcp_and_failures_are_told_too() {
    let mut pair = Pair::new(82);
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    let (client, server) = pair.connect_with(options);
    let Transport::Tcp(_) = pair.transport(CLIENT, client) else { panic!("TCP was wanted") };
    assert!(matches!(events(&mut pair, CLIENT)[..], [Event::Connected { .. }]));
    assert!(matches!(events(&mut pair, SERVER)[..], [Event::Accepted { .. }]));
    pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
    pair.lan.run_for(Duration::from_millis(10));
    assert_eq!(events(&mut pair, SERVER), [Event::PeerClosed { socket: server }]);
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    let (client, server) = pair.connect_with(options);
    assert!(matches!(events(&mut pair, CLIENT)[..], [Event::Connected { .. }]));
    pair.lan.stack(SERVER).socket(server).unwrap().abort();
    pair.lan.run_for(Duration::from_millis(10));
    let reset = Event::Failed { socket: client, error: ConnectionError::Reset };
    assert_eq!(events(&mut pair, CLIENT), [reset]);

    let listener = pair.listener;
    pair.lan.stack(SERVER).unlisten(listener);
    let refused = pair.begin(SocketOptions::default());
    pair.lan.run_for(Duration::from_millis(10));
    let refused = Event::Failed { socket: refused, error: ConnectionError::Refused };
    assert_eq!(events(&mut pair, CLIENT), [refused]);
}

#[test]
fn a_link_that_dies_takes_its_group_and_connections_with_it() {
    let mut pair = Pair::new(83);
    let (client, server) = pair.connect();
    pair.transfer((CLIENT, client), (SERVER, server), 10);
    events(&mut pair, CLIENT);
    pair.lan.set_faults(SERVER, Faults { loss: 1.0, ..Faults::default() });
    pair.lan.stack(CLIENT).socket(client).unwrap().send(b"octets").unwrap();
    pair.lan.run_for(Duration::from_secs(5));
    let told = events(&mut pair, CLIENT);
    let [
        Event::LinkDown { link: LinkNumber(1), .. },
        Event::GroupDown { .. },
        Event::Failed { socket, error },
    ] = told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((socket, Some(error)), (client, pair.error(CLIENT, client)));
}

#[test]
fn events_that_nobody_fetches_are_counted() {
    let mut pair = Pair::of(84, |_, config| config.limits.events = 3);
    for _ in 0..4 {
        pair.connect();
    }
    // A group, a link, four connections.
    assert_eq!(events(&mut pair, CLIENT).len(), 3);
    assert_eq!(pair.lan.stack(CLIENT).events_lost(), 3);
    pair.connect();
    assert!(matches!(events(&mut pair, CLIENT)[..], [Event::Connected { .. }]));
}
