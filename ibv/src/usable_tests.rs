use smolsmc_verbs::{GidEntry, GidKind};
use smolsmc_wire::{Gid, MtuCode};

use super::{Unusable, usable};
use crate::{DeviceReport, GidReport, PortReport, Selector};

fn gid(index: u16, octets: [u8; 4], refusal: Option<&'static str>) -> GidReport {
    let entry = GidEntry { gid: Gid::from_ipv4(octets), kind: GidKind::RoCEv2, vlan: None };
    GidReport { index, entry, interface: None, refusal }
}

fn port(number: u8, refusal: Option<&str>) -> PortReport {
    let gids = vec![gid(0, [10, 9, 0, 1], Some("IPv6; no good")), gid(2, [10, 9, 0, 2], None)];
    let refusal = refusal.map(str::to_owned);
    PortReport { number, active_mtu: MtuCode::OCTETS_1024, gids, refusal }
}

fn devices() -> Vec<DeviceReport> {
    let device = |name: &str, ports, refusal: Option<&str>| DeviceReport {
        name: name.to_owned(),
        ports,
        refusal: refusal.map(str::to_owned),
    };
    vec![
        device("rxe0", vec![port(1, None), port(2, Some("the port is down"))], None),
        device("rxe1", Vec::new(), Some("it cannot be opened: no")),
    ]
}

fn says(selector: &str) -> String {
    let selector: Selector = selector.parse().expect("a selector");
    usable(&devices(), &selector).err().map_or_else(String::new, |why| why.to_string())
}

#[test]
fn what_is_there_and_up_is_usable() {
    for selector in ["rxe0", "rxe0:1", "rxe0:1:2"] {
        assert_eq!(says(selector), "", "{selector}");
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    assert_eq!(says("mlx5_0"), "there is no RDMA device mlx5_0: there is rxe0, rxe1");
    assert_eq!(says("rxe0:3"), "the RDMA device rxe0 has no port 3: its last one is 2");
    assert_eq!(says("rxe0:1:7"), "rxe0:1 has no GID 7: there is 0, 2");
    let none = usable(&[], &Selector::device("rxe0"));
    let wanted = Unusable::NoDevice { name: "rxe0".to_owned(), there: Vec::new() };
    assert_eq!(none, Err(wanted.clone()));
    assert_eq!(wanted.to_string(), "there is no RDMA device rxe0: this machine has none");
}

#[test]
fn what_cannot_carry_is_told_with_its_reason() {
    assert_eq!(says("rxe1"), "rxe1 is not usable: it cannot be opened: no");
    assert_eq!(says("rxe0:2"), "rxe0:2 is not usable: the port is down");
    let said = says("rxe0:1:0");
    assert!(
        said.starts_with("rxe0:1:0 is not usable: its GID ") && said.ends_with("IPv6; no good"),
        "{said}"
    );
}
