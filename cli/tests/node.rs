//! `echo` and `ping` as a user runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolsmc"));
    command.args(arguments);
    command
}

fn smolsmc(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it starts")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

/// A file of this name that nothing else uses, and that is not there yet.
fn path(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_file(&path));
    path.to_str().expect("UTF-8").to_owned()
}

/// An echo on a socket, waiting for its peer.
struct Echo {
    child: Child,
    stderr: BufReader<ChildStderr>,
    socket: String,
}

impl Echo {
    fn start(name: &str, options: &[&str]) -> Self {
        // Not among the build's files: a socket's path is short.
        let socket = std::env::temp_dir().join(format!("smolsmc-{name}-{}", std::process::id()));
        let socket = socket.to_str().expect("UTF-8").to_owned();
        let link = format!("unix-listen:{socket}");
        let mut child = command(&["echo", "5000", "--link", &link, "--ip", "10.9.0.1/24"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says that it listens");
        assert!(line.ends_with("no peer has connected yet\n"), "{line}");
        Self { child, stderr, socket }
    }

    fn ping(&self, remote: &str, options: &[&str]) -> Output {
        let link = format!("unix:{}", self.socket);
        let mut ping = command(&["ping", remote, "--link", &link, "--ip", "10.9.0.2/24"]);
        ping.args(options).output().expect("it starts")
    }

    /// Waits for its end; whether that was a success, and what it said.
    fn end(mut self) -> (bool, String, String) {
        let (mut said, mut printed) = (String::new(), String::new());
        self.stderr.read_to_string(&mut said).expect("UTF-8");
        self.child.stdout.take().expect("piped").read_to_string(&mut printed).expect("UTF-8");
        (self.child.wait().expect("it ends").success(), said, printed)
    }
}

#[test]
fn ping_and_echo_speak_smcr_over_a_socket_between_two_processes() {
    let echo = Echo::start("smcr", &["--json"]);
    let pcap = path("smcr.pcap");
    let options = ["--size", "100000", "--count", "20", "--json", "--strict", "--pcap", &pcap];
    let ping = echo.ping("10.9.0.1:5000", &options);
    let said = text(&ping.stderr);
    assert!(ping.status.success(), "{said}");
    assert_eq!(said, "10.9.0.1:5000: SMC-R v2.1, client of link group 1, link 1, first contact\n");
    let report: Value = serde_json::from_slice(&ping.stdout).expect("one object");
    assert_eq!(report["smcr"], true);
    assert_eq!((&report["rounds"], &report["size"]), (&20.into(), &100_000.into()));
    let time = |name: &str| report["rtt_us"][name].as_f64().expect("a time");
    assert!(0.0 < time("min") && time("min") <= time("p50") && time("p50") <= time("p99_9"));

    let (success, said, printed) = echo.end();
    assert!(success, "a peer that leaves is the end of the service: {said}");
    assert!(said.contains("SMC-R v2.1, server of link group 1, link 1, first contact"), "{said}");
    assert!(said.contains("the peer closed the socket; connections served: 1"), "{said}");
    let objects: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(objects[1]["octets"], 2_000_000);
    assert_eq!(objects[1]["error"], Value::Null);

    let decoded = text(&smolsmc(&["decode", "--summary", &pcap]).stdout);
    assert!(decoded.contains("2000000 octets to the server, 2000000 to the client"), "{decoded}");
    assert!(decoded.contains(" 0 violations, 0 not understood"), "{decoded}");
}

#[test]
fn ping_reports_in_words_and_waits_busily_if_told() {
    let echo = Echo::start("busy", &["--mode", "busy"]);
    let ping = echo.ping("10.9.0.1:5000", &["--count", "5", "--interval", "1", "--mode", "busy"]);
    assert!(ping.status.success());
    let out = text(&ping.stdout);
    assert!(
        out.starts_with("5 rounds of 64 octets there and back, all as sent\nround trip in us:  min "),
        "{out}"
    );
    assert!(echo.end().0);
}

#[test]
fn fallback_is_shown_with_both_reasons() {
    let echo = Echo::start("fallback", &["--eid", "OTHER"]);
    let ping = echo.ping("10.9.0.1:5000", &["--size", "100000"]);
    let said = text(&ping.stderr);
    assert!(ping.status.success(), "TCP is as good: {said}");
    let reasons = "TCP (we: 0x05000000 peer declined; peer: 0x03030000 no SMC device (R or D))";
    assert_eq!(said, format!("10.9.0.1:5000: {reasons}\n"));
    let (success, said, _) = echo.end();
    assert!(success && said.contains("TCP (we: 0x03030000 no SMC device (R or D))"), "{said}");
}

#[test]
fn strict_ping_refuses_tcp_with_the_reasons() {
    let echo = Echo::start("strict", &["--eid", "OTHER"]);
    let ping = echo.ping("10.9.0.1:5000", &["--strict"]);
    let said = text(&ping.stderr);
    assert_eq!(ping.status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    let sentence =
        "cannot connect to 10.9.0.1:5000: SMC-R was demanded; TCP is all there is (we: 0x05000000 ";
    assert!(said.contains(sentence), "{said}");
    echo.end();
}

#[test]
fn ping_to_a_port_without_an_echo_is_refused() {
    let echo = Echo::start("refused", &[]);
    let ping = echo.ping("10.9.0.1:5001", &[]);
    assert_eq!(ping.status.code(), Some(1));
    assert_eq!(text(&ping.stderr), "smolsmc: cannot connect to 10.9.0.1:5001: connection refused\n");
    assert!(!echo.end().0, "nothing was served");
}

#[test]
fn ping_without_an_answer_ends() {
    let echo = Echo::start("silent", &[]);
    let ping = echo.ping("10.9.0.3:5000", &["--timeout", "1"]);
    assert_eq!(ping.status.code(), Some(1));
    assert_eq!(text(&ping.stderr), "smolsmc: cannot connect to 10.9.0.3:5000: nothing in 1 s\n");
    echo.end();
}

#[test]
fn signal_ends_an_echo_in_order() {
    let echo = Echo::start("signal", &[]);
    let id = rustix::process::Pid::from_child(&echo.child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    let socket = PathBuf::from(&echo.socket);
    let (success, said, _) = echo.end();
    assert!(success, "{said}");
    assert!(!socket.exists(), "the socket's name is gone");
}

/// One sentence on standard error, and a status that is not zero.
fn assert_refused(arguments: &[&str], words: &str) {
    let output = smolsmc(arguments);
    let said = text(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("smolsmc: ") && said.contains(words), "{arguments:?}: {said}");
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    let ping = |link: &str, more: &[&str], words: &str| {
        let arguments = ["ping", "10.9.0.1:5000", "--link", link, "--ip", "10.9.0.2/24"];
        assert_refused(&[&arguments, more].concat(), words);
    };
    ping("eth0", &[], "is no port: write unix:PATH, unix-listen:PATH, tap:NAME or packet:IFNAME");
    ping("unix:/does/not/exist", &[], "No such file or directory (os error 2); nothing listens there yet");
    ping("tap:a-name-far-too-long", &[], "the name of an interface has 1 to 15 octets");
    let nowhere = "unix-listen:/does/not/exist";
    ping(nowhere, &[], "No such file or directory");
    ping(nowhere, &["--mtu", "100"], "an MTU of 100 is not between 576 and 9000");
    ping(nowhere, &["--mtu", "many"], "invalid value 'many' for '--mtu <N>'");
    ping(nowhere, &["--mac", "02:00"], "six octets in hexadecimal are wanted");
    ping(nowhere, &["--mac", "01:00:5e:00:00:01"], "this is no station's address");
    ping(nowhere, &["--eid", "lower"], "invalid value 'lower' for '--eid <EID>'");
    ping(nowhere, &["--gateway", "router"], "invalid value 'router' for '--gateway <IP>'");
    ping(nowhere, &["--size", "0"], "invalid value '0' for '--size <N>'");
    ping(nowhere, &["--mode", "lazy"], "invalid value 'lazy' for '--mode <MODE>'");
    ping(nowhere, &["--sise", "5"], "unexpected argument '--sise' found");
    assert_refused(&["ping", "--link", nowhere, "--ip", "10.9.0.2/24"], "<HOST:PORT>");
    for remote in ["10.9.0.1", "localhost:5000"] {
        let arguments = ["ping", remote, "--link", nowhere, "--ip", "10.9.0.2/24"];
        assert_refused(&arguments, "an address with a port is wanted, such as 10.9.0.1:5000");
    }
    assert_refused(
        &["echo", "0", "--link", nowhere, "--ip", "10.9.0.1/24"],
        "invalid value '0' for '<PORT>'",
    );
    assert_refused(&["echo", "5000", "--ip", "10.9.0.1/24"], "--link <PORT>");
    assert_refused(
        &["echo", "5000", "--link", nowhere, "--ip", "10.9.0.1"],
        "an address with its prefix length is wanted, such as 10.9.0.1/24",
    );
    assert_refused(&["dance"], "unrecognized subcommand 'dance'");
}

#[test]
fn what_carries_rdma_is_refused_in_one_sentence() {
    let path = std::env::temp_dir().join(format!("smolsmc-rdma-{}", std::process::id()));
    let link = format!("unix-listen:{}", path.display());
    let refused = |rdma: &[&str], words: &str| {
        let mut arguments = vec!["echo", "5000", "--link", &link, "--ip", "10.9.0.1/24"];
        rdma.iter().for_each(|rdma| arguments.extend(["--rdma", rdma]));
        assert_refused(&arguments, words);
        assert!(!path.exists(), "{rdma:?}: nobody was waited for");
    };
    refused(
        &["hard"],
        "invalid value 'hard' for '--rdma <RDMA>': soft or ibverbs:DEVICE[:PORT[:GID]] is wanted",
    );
    refused(&["ibverbs:"], "a device has a name, as in mlx5_0:1:3");
    refused(&["ibverbs:rxe0:0"], "\"0\" is no port: ports are numbered from 1 to 255");
    refused(&["ibverbs:rxe0:1:x"], "\"x\" is no GID index: they are numbered from 0 to 255");
    refused(&["soft", "ibverbs:rxe0"], "soft for all links, or ibverbs for all");
    refused(&["ibverbs:rxe0", "ibverbs:rxe1"], "in pairs, in the same order: 1 and 2");
    // No machine has a device of this name; or this command knows of none at all.
    let why = match cfg!(feature = "ibverbs") {
        true => "RDMA device",
        false => "this smolsmc knows no RDMA devices: build it with --features ibverbs",
    };
    for command in [
        &["echo", "5000"][..],
        &["ping", "10.9.0.1:5000"],
        &["nc", "10.9.0.1", "5000"],
        &["check", "10.9.0.1:5000"],
        &["conform", "10.9.0.1:5000"],
        &["proxy", "--to-smc", "1=10.9.0.1:1"],
    ] {
        let more = ["--link", &link, "--ip", "10.9.0.1/24", "--rdma", "ibverbs:no-such-device"];
        assert_refused(&[command, &more].concat(), why);
        assert!(!path.exists(), "{command:?}: nobody was waited for");
    }
}

#[test]
fn software_is_what_carries_rdma_unless_told_otherwise() {
    let echo = Echo::start("soft", &["--rdma", "soft"]);
    let output = echo.ping("10.9.0.1:5000", &["--strict", "--rdma", "soft"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(echo.end().0);
}

#[test]
fn more_bad_input_for_a_stack() {
    let path = std::env::temp_dir().join(format!("smolsmc-bad-{}", std::process::id()));
    let link = format!("unix-listen:{}", path.display());
    let ip = ["--link", &link, "--ip", "10.9.0.2/24", "--ip", "10.9.1.2/24", "--ip", "10.9.2.2/24"];
    assert_refused_late(&[&["echo", "5000"], &ip[..]].concat(), "a port has no room for 3 addresses");
    assert_refused_late(
        &["ping", "10.10.0.1:5000", "--link", &link, "--ip", "10.9.0.2/24"],
        "cannot connect to 10.10.0.1:5000: no route to the host",
    );
    assert!(!path.exists(), "the socket's name is gone");
}

/// As above, after the port has been opened: it may have said how it is.
fn assert_refused_late(arguments: &[&str], words: &str) {
    let output = smolsmc(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().expect("a sentence");
    assert!(last.starts_with("smolsmc: ") && last.contains(words), "{said}");
}

#[test]
fn help_of_every_command_has_examples() {
    for name in ["echo", "ping"] {
        let output = smolsmc(&[name, "--help"]);
        assert!(output.status.success());
        let said = text(&output.stdout);
        assert!(said.contains("Examples:"), "{name}");
        assert!(said.contains("--rdma ibverbs:") && said.contains("[default: soft]"), "{name}");
    }
}
