use super::*;

fn pair() -> [Control; 2] {
    let (a, b) = UnixStream::pair().unwrap();
    [a, b].map(|socket| Control::new(socket, ProcessorTime::Thread))
}

#[test]
fn orders_arrive_as_they_were_given() {
    let [mut near, mut far] = pair();
    let what = What::Interrupt;
    let orders = [
        Order::Begin { core: 1, tcp: 65_535, spin: 50 },
        Order::Shape { size: 1 << 24 },
        Order::Bounce { times: 7 },
        Order::Answer { what, size: 64, times: 1 << 40 },
        Order::Serve { what: What::TcpSpin, size: 1000, times: 2 },
        Order::Take { what: What::Adaptive, size: 3, times: 4 },
        Order::Take { what: What::Eventfd, size: 1, times: 1 },
        Order::Move { core: 1023 },
        Order::Idle { what, millis: 10_000 },
        Order::BeginCrowd { core: 1 },
        Order::Host,
        Order::Done,
        Order::End,
    ];
    for order in orders {
        near.order(order).unwrap();
        assert_eq!(far.next_order().unwrap(), order);
    }
    near.socket.write_all(&[9; ORDER_LEN]).unwrap();
    assert!(matches!(far.next_order(), Err(Fault::Impossible(_))));
    drop(near);
    assert!(matches!(far.next_order(), Err(Fault::Gone)));
}

#[test]
fn a_report_is_numbers_or_a_sentence() {
    let [mut near, mut far] = pair();
    assert!(!near.has_news());
    let report = Report { nanos: u64::MAX, cpu: 3 };
    far.report(report).unwrap();
    assert!(near.has_news());
    assert_eq!(near.next_report().unwrap(), report);
    far.fail("no memory").unwrap();
    assert_eq!(near.next_report().unwrap_err().to_string(), "the far end: no memory");
    far.fail(&"x".repeat(5000)).unwrap();
    assert_eq!(near.next_report().unwrap_err().to_string().len(), "the far end: ".len() + SENTENCE_LEN);
}

#[test]
fn descriptors_are_passed() {
    let [near, far] = pair();
    near.pass(&[near.as_fd(); DESCRIPTORS]).unwrap();
    assert_eq!(far.passed::<DESCRIPTORS>().unwrap().len(), DESCRIPTORS);
    near.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(far.passed::<1>().is_err());
}
