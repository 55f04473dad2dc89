use super::*;

#[test]
fn frame_is_aligned_and_lies_behind_what_is_in_front_of_it() {
    for ahead in [0, 10, 64, 65] {
        let mut room = Room::new(ahead, 1000);
        assert!(room.all().len() >= ahead + 1000);
        for (at, octet) in room.all().iter_mut().enumerate() {
            *octet = at as u8;
        }
        let frame: Vec<_> = (ahead..ahead + 1000).map(|at| at as u8).collect();
        assert_eq!(room.frame(1000), frame);
        assert_eq!(room.frame(1000).as_ptr() as usize % ALIGNMENT, 0);
        assert_eq!(room.frame_mut(7), &frame[..7]);
        assert_eq!(room.whole(1000)[ahead..], frame);
        let (header, octets) = room.parts::<10>(60);
        assert_eq!(header.copied(), (ahead == 10).then_some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        assert_eq!(octets, &frame[..60]);
        assert!(room.frame(1 << 20).is_empty() && room.parts::<10>(1 << 20).1.is_empty());
    }
}
