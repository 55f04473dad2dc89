//! The command line program, as users run it, against a guest's echo and sink.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::protocol::{Behaviour, Family};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Error, Result, Wire, pattern};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// What goes through `nc`.
const OCTETS: usize = 4 << 20;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("tool-check", "client", check).slow(),
        Scenario::alone("tool-nc", "client", nc).slow(),
        Scenario::alone("tool-conform", "client", conform).slow(),
    ]
}

/// Built beside this program if need be.
fn program() -> Result<PathBuf> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "-p", "smolsmc-cli", "--bin", "smolsmc"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = command.current_dir(&root).status().map_err(Error::io("cargo"))?;
    ensure(built.success(), || "smolsmc does not build".to_owned())?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/smolsmc"))
}

/// Runs a command of ours with its cable in the guest's NIC, however often it plugs
/// itself in; its output, once it has ended well. `input` is a file.
fn smolsmc(stage: &Stage<'_>, words: &[&str], input: Option<&Path>) -> Result<Vec<u8>> {
    let at = |name: &str| stage.folder().join(name);
    // A socket's path must be short.
    let socket = env::temp_dir().join(format!("smolsmc-tool-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).map_err(Error::io(socket.display().to_string()))?;
    listener.set_nonblocking(true).map_err(Error::io("a socket"))?;
    let file = |path: PathBuf| fs::File::create(&path).map_err(Error::io(path.display().to_string()));
    let stdin = match input {
        Some(path) => fs::File::open(path).map_err(Error::io(path.display().to_string()))?.into(),
        None => Stdio::null(),
    };
    let mut child = Command::new(program()?)
        .args(words)
        .args(["--link", &format!("unix:{}", socket.display())])
        .args(["--ip", &format!("{}/24", Stage::free_address()), "--eid", Stage::ueid()])
        .stdin(stdin)
        .stdout(file(at("stdout"))?)
        .stderr(file(at("stderr"))?)
        .spawn()
        .map_err(Error::io("smolsmc"))?;
    let ended = await_end(stage, &mut child, &listener);
    let _ = child.kill();
    let _ = child.wait();
    let _ = fs::remove_file(&socket);
    let said = fs::read(at("stdout")).map_err(Error::io("stdout"))?;
    let why = fs::read_to_string(at("stderr")).unwrap_or_default();
    let status = ended?;
    ensure(status, || format!("smolsmc {}: {why} {}", words.join(" "), String::from_utf8_lossy(&said)))?;
    Ok(said)
}

/// Plugs in whoever comes, until the command has ended; whether it ended well.
fn await_end(stage: &Stage<'_>, child: &mut Child, listener: &UnixListener) -> Result<bool> {
    let start = Instant::now();
    let mut plugged_in: Option<Wire> = None;
    loop {
        match listener.accept() {
            Ok((peer, _)) => {
                peer.set_nonblocking(false).map_err(Error::io("a socket"))?;
                // The old one first: its threads must not take frames any more.
                drop(plugged_in.take());
                let wire = Wire::between(peer, stage.attach(0, 0)?);
                plugged_in = Some(wire.map_err(Error::io("cannot make a wire"))?);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(Error::io("a socket")(error)),
        }
        if let Some(status) = child.try_wait().map_err(Error::io("smolsmc"))? {
            return Ok(status.success());
        }
        if start.elapsed() > PATIENCE {
            return Err(Error::Deadline { what: "smolsmc".to_owned(), within: PATIENCE });
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn echo(stage: &Stage<'_>) -> Result<String> {
    let port = stage.fresh_port();
    stage.guest(0)?.listen(Family::Smc, port, Behaviour::Echo)?;
    Ok(format!("{}:{port}", Stage::address(0)))
}

/// Says that SMC-R works, and why it would not where it does not.
fn check(stage: &Stage<'_>) -> Result<String> {
    let said = smolsmc(stage, &["check", &echo(stage)?], None)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure(said.contains("SMC-R v2.1") && said.contains("Linux"), || said.clone())?;
    Ok("SMC-R v2.1".to_owned())
}

/// 4 MiB in, by way of the guest's echo, and the same 4 MiB out.
fn nc(stage: &Stage<'_>) -> Result<String> {
    let input = stage.folder().join("input");
    let mut octets = vec![0; OCTETS];
    pattern::fill(1, 0, &mut octets);
    fs::write(&input, &octets).map_err(Error::io("input"))?;
    let peer = echo(stage)?;
    let (host, port) = peer.split_once(':').unwrap_or_default();
    let before = stage.guest(0)?.statistics()?.server_v2;
    let said = smolsmc(stage, &["nc", host, port, "--strict"], Some(&input))?;
    ensure(said == octets, || format!("{} octets came back, or others", said.len()))?;
    let served = stage.guest(0)?.statistics()?.server_v2 - before;
    ensure(served == 1, || format!("the guest counts {served} connections"))?;
    Ok("SMC-R, 4 MiB".to_owned())
}

/// Every case against the guest's echo and sink.
fn conform(stage: &Stage<'_>) -> Result<String> {
    let (peer, sink) = (echo(stage)?, stage.fresh_port());
    stage.guest(0)?.listen(Family::Smc, sink, Behaviour::Sink(1))?;
    let said = smolsmc(stage, &["conform", &peer, "--sink", &sink.to_string(), "--json"], None)?;
    let lines = String::from_utf8_lossy(&said).into_owned();
    let cases: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let count = |pass: &Value| cases.iter().filter(|c| c.get("name").is_some() && &c["pass"] == pass).count();
    let (passed, failed, skipped) = (count(&true.into()), count(&false.into()), count(&Value::Null));
    ensure(passed > 0 && failed == 0 && skipped == 0, || lines.clone())?;
    Ok(format!("SMC-R, {passed} cases passed, 0 failed, 0 skipped"))
}
