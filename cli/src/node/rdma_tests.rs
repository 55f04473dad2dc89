use super::{Rdma, devices, names, parse};

fn links(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn both(rdma: &[&str], names: &[&str]) -> Result<Vec<String>, String> {
    let rdma: Vec<_> = rdma.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    Ok(devices(&rdma, &links(names))?.iter().map(ToString::to_string).collect())
}

#[test]
fn software_needs_no_device() {
    assert_eq!(parse("soft"), Ok(Rdma::Soft));
    assert_eq!(both(&["soft"], &["unix:/a", "unix:/b"]), Ok(Vec::new()));
}

#[test]
fn a_device_is_named_with_its_port_and_gid() {
    assert_eq!(both(&["ibverbs:rxe0"], &["packet:eth0"]), Ok(vec!["rxe0:1".to_owned()]));
    assert_eq!(both(&["ibverbs:mlx5_0:2:3"], &["packet:eth0"]), Ok(vec!["mlx5_0:2:3".to_owned()]));
    let two = ["ibverbs:rxe0", "ibverbs:rxe1:1"];
    let named = vec!["rxe0:1".to_owned(), "rxe1:1".to_owned()];
    assert_eq!(both(&two, &["packet:eth0", "packet:eth1"]), Ok(named));
}

#[test]
fn a_link_is_said_to_be_on_its_own_device() {
    let of = |rdma: &[&str], links: usize| {
        let rdma: Vec<_> = rdma.iter().map(|text| parse(text).expect("a device")).collect();
        let there: Vec<_> = (0..links).map(|number| format!("packet:eth{number}")).collect();
        let names = names(&devices(&rdma, &there).expect("pairs"), links);
        names.iter().map(|name| format!("{} {}", name["device"], name["port"])).collect::<Vec<_>>()
    };
    assert_eq!(of(&["ibverbs:rxe0", "ibverbs:mlx5_0:2:3"], 2), ["\"rxe0\" 1", "\"mlx5_0\" 2"]);
    assert_eq!(of(&["soft"], 2), ["\"soft1\" 1", "\"soft2\" 1"]);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_sentence() {
    let refused = |rdma: &[&str], names: &[&str], words: &str| {
        let said = both(rdma, names).expect_err("refused");
        assert!(said.contains(words) && !said.contains('\n'), "{said}");
    };
    let one: &[&str] = &["packet:eth0"];
    for (text, words) in [
        ("", "soft or ibverbs:DEVICE"),
        ("hard", "soft or ibverbs:DEVICE"),
        ("soft:1", "soft or ibverbs:DEVICE"),
        ("ibverbs", "which RDMA device?"),
        ("ibverbs:", "a device has a name"),
        ("ibverbs:rxe0:0", "\"0\" is no port"),
        ("ibverbs:rxe0:1:256", "\"256\" is no GID index"),
        ("ibverbs:rxe0:1:2:3", "nothing comes after the GID index"),
    ] {
        refused(&[text], one, words);
    }
    refused(&["soft", "ibverbs:rxe0"], one, "soft for all links, or ibverbs for all");
    refused(&["ibverbs:rxe0"], &["shm:/a"], "carries RDMA itself");
    refused(&["ibverbs:rxe0"], &["packet:eth0", "packet:eth1"], "in pairs, in the same order: 2 and 1");
    refused(&["ibverbs:rxe0", "ibverbs:rxe1"], one, "in pairs, in the same order: 1 and 2");
    let same = ["ibverbs:rxe0", "ibverbs:rxe0:1"];
    refused(&same, &["packet:eth0", "packet:eth1"], "would fail together");
}
