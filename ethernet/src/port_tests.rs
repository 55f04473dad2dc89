use super::*;

fn refused(port: &str, mtu: Option<u16>) -> String {
    Port::open_with_mtu(port, mtu).expect_err(port).to_string()
}

#[test]
fn every_refusal_is_one_clear_sentence() {
    let kinds = "write unix:PATH, unix-listen:PATH, tap:NAME or packet:IFNAME";
    assert_eq!(refused("", None), format!("\"\" is no port: {kinds}"));
    assert_eq!(refused("eth0", None), format!("\"eth0\" is no port: {kinds}"));
    assert_eq!(refused("udp:1234", None), format!("\"udp:1234\" is no port: {kinds}"));
    for port in ["unix:", "unix-listen:", "tap:", "packet:"] {
        let nothing = "nothing follows the colon, and a path or an interface should";
        assert_eq!(refused(port, None), format!("{port}: {nothing}"));
    }
    for port in ["tap:a-name-of-16-oct", "packet:a-name-of-16-oct", "tap:a/b"] {
        assert_eq!(
            refused(port, None),
            format!("{port}: the name of an interface has 1 to 15 octets and no slash")
        );
    }
    assert_eq!(
        refused("unix:/does/not/exist", None),
        "unix:/does/not/exist: No such file or directory (os error 2); nothing listens there yet"
    );
    let long = format!("unix:/{}", "x".repeat(200));
    assert!(refused(&long, None).contains("path must be shorter"), "{}", refused(&long, None));
}

#[test]
fn mtu_has_limits() {
    for mtu in [0, 575, 9001, u16::MAX] {
        assert_eq!(
            refused("unix:/does/not/exist", Some(mtu)),
            format!("unix:/does/not/exist: an MTU of {mtu} is not between 576 and 9000")
        );
    }
}

#[test]
fn port_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Port>();
    assert_send::<crate::Wire>();
}
