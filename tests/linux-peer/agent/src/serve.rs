//! Does what is asked: one thread a request, so that a long one holds up no other.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};
use serde::Serialize;
use serde_json::Value;

use crate::carry::{self, Plan};
use crate::children::Children;
use crate::programs::Programs;
use crate::protocol::{Answer, Call, Exchanged, Handle, Hello, Request, Transfer};
use crate::sockets::{Connection, Failure, Sockets, lock};
use crate::{init, kernel_log, nic, rdma, smc, smc_diag};

/// What one agent holds.
#[derive(Default)]
struct Agent {
    sockets: Arc<Sockets>,
    children: Children,
    programs: Programs,
}

/// Answers requests until the other side is gone.
pub(crate) fn serve<R: Read, W: Write + Send + 'static>(
    requests: R,
    answers: W,
    hello: &Hello,
) -> io::Result<()> {
    let answers = Arc::new(Mutex::new(answers));
    let agent = Arc::new(Agent::default());
    say(&answers, 0, done(hello))?;
    for line in BufReader::new(requests).lines() {
        let call: Call = match serde_json::from_str(&line?) {
            Ok(call) => call,
            Err(error) => {
                say(&answers, 0, Err(io::Error::from(error).into()))?;
                continue;
            }
        };
        let (agent, answers) = (agent.clone(), answers.clone());
        thread::spawn(move || say(&answers, call.seq, agent.handle(call.request)));
    }
    Ok(())
}

fn say<W: Write>(answers: &Mutex<W>, seq: u64, result: Result<Value, Failure>) -> io::Result<()> {
    let answer = match result {
        Ok(value) => Answer { seq, ok: Some(value), fault: None },
        Err(Failure(fault)) => Answer { seq, ok: None, fault: Some(fault) },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let mut answers = lock(answers);
    answers.write_all(&line)?;
    answers.flush()
}

fn done<T: Serialize>(value: T) -> Result<Value, Failure> {
    Ok(serde_json::to_value(value).map_err(io::Error::from)?)
}

fn sysctl_path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl Agent {
    fn handle(&self, request: Request) -> Result<Value, Failure> {
        match request {
            Request::Ping => done(()),
            Request::PowerOff => done(init::power_off()?),
            Request::LinkState { nic, up } => done(nic::set_up(&nic, up)?),
            Request::Mtu { nic, mtu } => done(nic::set_mtu(&nic, mtu)?),
            Request::AddAddress { nic, address, prefix } => done(nic::add_address(&nic, address, prefix)?),
            Request::RemoveAddress { nic, address, prefix } => {
                done(nic::remove_address(&nic, address, prefix)?)
            }
            Request::AddRoute { to, prefix, via } => done(nic::add_route(to, prefix, via)?),
            Request::AddNeighbour { nic, address, mac } => done(nic::add_neighbour(&nic, address, mac)?),
            Request::SetNetem { nic, netem } => done(nic::set_netem(&nic, &netem)?),
            Request::ClearNetem { nic } => done(nic::clear_netem(&nic)?),
            Request::AddRxe { name, nic } => done(rdma::add_rxe(&name, &nic)?),
            Request::RemoveRxe { name } => done(rdma::remove(&name)?),
            Request::AddUeid { ueid } => done(smc::add_ueid(&ueid)?),
            Request::FlushUeids => done(smc::flush_ueids()?),
            Request::Ueids => done(smc::ueids()?),
            Request::Sysctl { name } => done(fs::read_to_string(sysctl_path(&name))?.trim_end()),
            Request::SetSysctl { name, value } => done(fs::write(sysctl_path(&name), value)?),
            Request::SmcSockets => done(smc_diag::sockets()?),
            Request::LinkGroups => done(smc::link_groups()?),
            Request::Links => done(smc::links()?),
            Request::Statistics => done(smc::statistics()?),
            Request::Fallbacks => done(smc::fallbacks()?),
            Request::KernelLog { since } => done(kernel_log::read(since)?),
            Request::Spawn => done(self.children.spawn(self.sockets.new_handle())?),
            Request::InChild { child, request } => self.children.ask(child, *request),
            Request::Kill { child } => done(self.children.kill(child)?),
            other => self.handle_program(other),
        }
    }

    fn handle_program(&self, request: Request) -> Result<Value, Failure> {
        match request {
            Request::RdmaObjects { name } => done(rdma::objects(&name)?),
            Request::BeginProgram { program, arguments } => {
                done(self.programs.begin(self.sockets.new_handle(), &program, &arguments)?)
            }
            Request::ProgramSaid { handle } => done(self.programs.said(handle)?),
            Request::SignalProgram { handle, kill } => done(self.programs.signal(handle, kill)?),
            Request::AwaitProgram { handle, seconds: s } => done(self.programs.wait(handle, seconds(s))?),
            Request::ReadFile { path } => done(fs::read_to_string(path)?),
            Request::WriteFile { path, text } => done(fs::write(path, text)?),
            other => self.handle_socket(other),
        }
    }

    fn handle_socket(&self, request: Request) -> Result<Value, Failure> {
        let sockets = &self.sockets;
        match request {
            Request::Listen { family, port, backlog, behaviour, options } => {
                done(sockets.listen(family, port, backlog, behaviour, &options)?)
            }
            Request::Served { listener } => done(sockets.served(listener)?),
            Request::AwaitServed { listener, count, ended, seconds: s } => {
                done(sockets.await_served(listener, count, ended, seconds(s))?)
            }
            Request::Accept { listener, seconds: s } => done(sockets.accept(listener, seconds(s))?),
            Request::Connect { family, address, port, options } => {
                done(sockets.connect(family, address, port, &options)?)
            }
            Request::Shutdown { handle, half } => done(sockets.shutdown(handle, half)?),
            Request::Close { handle } => done(sockets.close(handle)?),
            Request::CloseAll => {
                sockets.close_all();
                done(())
            }
            Request::SetOption { handle, option } => done(sockets.set_option(handle, option)?),
            Request::Diagnose { handle } => {
                let inode = sockets.connection(handle)?.inode()?;
                done(smc_diag::sockets()?.into_iter().find(|s| s.inode == inode))
            }
            other => self.handle_data(other),
        }
    }

    fn handle_data(&self, request: Request) -> Result<Value, Failure> {
        let with = |handle: Handle| self.sockets.connection(handle);
        match request {
            Request::Send { handle, stream, octets, chunk, seconds: s } => {
                let connection = with(handle)?;
                done(send(&connection, plan(stream, Some(octets), chunk, s)))
            }
            Request::Receive { handle, stream, octets, chunk, seconds: s } => {
                let connection = with(handle)?;
                done(receive(&connection, plan(stream, octets, chunk, s)))
            }
            Request::Exchange { handle, stream, octets, chunk, seconds: s } => {
                let connection = with(handle)?;
                done(exchange(&connection, plan(stream, Some(octets), chunk, s)))
            }
            Request::PingPong { handle, stream, size, count, seconds: s } => {
                let connection = with(handle)?;
                let plan = Plan { offset: connection.sent.load(Relaxed), ..plan(stream, None, size, s) };
                let trips = carry::ping_pong(connection.socket(), &plan, count);
                let moved = (trips.count * size) as u64;
                connection.sent.fetch_add(moved, Relaxed);
                connection.received.fetch_add(moved, Relaxed);
                done(trips)
            }
            Request::Peek { handle, stream, octets } => {
                let connection = with(handle)?;
                let offset = connection.received.load(Relaxed);
                done(carry::peek(connection.socket(), stream, offset, octets)?)
            }
            Request::SendUrgent { handle, octet } => done(send_urgent(with(handle)?.socket(), octet)?),
            Request::ReceiveUrgent { handle } => done(receive_urgent(with(handle)?.socket())?),
            other => Err(io::Error::other(format!("nobody handles {other:?}")).into()),
        }
    }
}

fn plan(stream: u64, octets: Option<u64>, chunk: usize, patience: f64) -> Plan {
    Plan { stream, offset: 0, octets, chunk: chunk.max(1), deadline: Instant::now() + seconds(patience) }
}

fn send(connection: &Connection, plan: Plan) -> Transfer {
    let plan = Plan { offset: connection.sent.load(Relaxed), ..plan };
    let sent = plan.send(connection.socket());
    connection.sent.fetch_add(sent.octets, Relaxed);
    sent
}

fn receive(connection: &Connection, plan: Plan) -> Transfer {
    let plan = Plan { offset: connection.received.load(Relaxed), ..plan };
    let received = plan.receive(connection.socket());
    connection.received.fetch_add(received.octets, Relaxed);
    received
}

fn exchange(connection: &Connection, plan: Plan) -> Exchanged {
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(connection, plan));
        let received = receive(connection, plan);
        // A sender that panicked has sent nothing that anybody could count.
        Exchanged { sent: sending.join().unwrap_or_default(), received }
    })
}

fn send_urgent(socket: BorrowedFd<'_>, octet: u8) -> io::Result<()> {
    rustix::net::send(socket, &[octet], SendFlags::OOB | SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_urgent(socket: BorrowedFd<'_>) -> io::Result<u8> {
    let mut octet = [0];
    rustix::net::recv(socket, &mut octet[..], RecvFlags::OOB)?;
    Ok(octet[0])
}
