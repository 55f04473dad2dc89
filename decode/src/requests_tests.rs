use super::*;

#[test]
fn packets_are_told_apart_across_the_wrap() {
    let mut r = Requests::default();
    r.start_at(Psn::new(0xff_fffe));
    assert_eq!(r.see(Psn::new(0xff_fffe), 1), Sight::Next);
    assert_eq!(r.see(Psn::new(1), 1), Sight::AfterGap(2));
    assert_eq!(r.see(Psn::new(0), 1), Sight::Late);
    assert_eq!(r.see(Psn::new(0), 1), Sight::Repeated);
    assert_eq!(r.see(Psn::new(0xff_ffff), 1), Sight::Late);
    assert_eq!(r.see(Psn::new(2), 1), Sight::Next);
    assert_eq!((r.packets, r.repeated, r.gaps), (5, 1, 2));
}

#[test]
fn send_is_put_together_only_from_adjacent_packets() {
    let mut r = Requests::default();
    assert_eq!(r.assemble_send(Psn::new(7), Position::First, b"ab"), None);
    assert_eq!(r.assemble_send(Psn::new(8), Position::Middle, b"cd"), None);
    assert_eq!(r.assemble_send(Psn::new(9), Position::Last, b"e").as_deref(), Some(&b"abcde"[..]));
    assert_eq!(r.assemble_send(Psn::new(10), Position::First, b"ab"), None);
    assert_eq!(r.assemble_send(Psn::new(12), Position::Last, b"e"), None, "the middle is missing");
    assert_eq!(r.assemble_send(Psn::new(13), Position::Only, b"x").as_deref(), Some(&b"x"[..]));
}

#[test]
fn memory_is_bounded_whatever_arrives() {
    let mut r = Requests::default();
    for n in 0..100u32 {
        r.see(Psn::new(n * 100_000), 1);
    }
    assert!(r.missing.len() <= MAX_MISSING);
    r.assemble_send(Psn::new(0), Position::First, &[0; 4096]);
    r.assemble_send(Psn::new(1), Position::Middle, &[0; 4096]);
    assert_eq!(r.assemble_send(Psn::new(2), Position::Last, &[0; 1]), None);
}
