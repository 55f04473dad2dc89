//! Threads that block, on two engines: a server that answers questions, and clients.
//!
//! `cargo run --release -p smolsmc-threads --example blocking`
//!
//! Both hosts are in this program, on the two ends of a socket pair. With hosts of
//! their own each makes one `Engine`, over `packet:` or `tap:` for instance
//! (`smolsmc_ethernet::Port`).

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread;

use smolsmc::{Config, Eid, Instant, Mac, PortConfig, SoftNic};
use smolsmc_drive::Host;
use smolsmc_ethernet::{Port, StreamPort};
use smolsmc_threads::{Engine, EngineError, Options, SmcStream, monotonic};

const MTU: u16 = 9000;

/// A host with a NIC in software, on one end of the cable.
fn engine(number: u8, cable: UnixStream) -> Result<Engine<SoftNic>, EngineError> {
    Engine::start(Options::usual(), monotonic(), move || {
        let mut config = Config::new([number; 32]); // outside of an example: 32 octets of real randomness
        config.eids.push(Eid::from_ascii("EXAMPLE").map_err(io::Error::other)?);
        let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
        port.addresses.push(([10, 9, 0, number].into(), 24));
        config.ports.push(port);
        let stack = smolsmc::soft(config, Instant::ZERO).map_err(io::Error::other)?;
        Ok(Host { stack, devices: vec![Port::Stream(StreamPort::from_stream(cable, MTU)?)] })
    })
}

/// Answers each line with its length.
fn serve(stream: &SmcStream) -> io::Result<()> {
    let mut answers = stream;
    for line in BufReader::new(stream).lines() {
        writeln!(answers, "{} letters", line?.len())?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this is what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let (one, other) = UnixStream::pair()?;
    let (server, client) = (engine(1, one)?, engine(2, other)?);
    let address = SocketAddr::from(([10, 9, 0, 1], 5000));

    let listener = server.handle().listen(address)?;
    let serving = thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&stream));
        }
    });

    let clients: Vec<_> = ["busy", "interrupt", "adaptive"]
        .into_iter()
        .map(|word| {
            let handle = client.handle();
            thread::spawn(move || -> io::Result<String> {
                let mut stream = handle.connect(address)?;
                writeln!(stream, "{word}")?;
                let mut answer = String::new();
                BufReader::new(&stream).read_line(&mut answer)?;
                let carried = stream.transport().map(|transport| transport.to_string());
                Ok(format!("{word}: {} ({})", answer.trim_end(), carried.unwrap_or_default()))
            })
        })
        .collect();
    for thread in clients {
        println!("{}", thread.join().map_err(|_| "a client panicked")??);
    }

    println!("both have said good-bye: {}", client.stop()?.is_clean && server.stop()?.is_clean);
    serving.join().map_err(|_| "the server panicked")?;
    Ok(())
}
