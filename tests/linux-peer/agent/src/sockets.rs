//! Connections and listeners, by handle.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, Shutdown, SocketType};

use crate::carry::{self, Plan};
use crate::protocol::{Behaviour, Family, Fault, Half, Handle, Served, SocketOption, Transfer};

const AF_SMC: AddressFamily = AddressFamily::from_raw(43);

/// Locks; a thread that panicked while it held the lock is no reason to stop.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Fault);

impl Failure {
    pub(crate) fn unknown(what: &str, handle: Handle) -> Self {
        Self(Fault { errno: None, text: format!("there is no {what} {handle}") })
    }

    fn says(text: &str) -> Self {
        Self(Fault { errno: None, text: text.to_owned() })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(Fault { errno: error.raw_os_error(), text: error.to_string() })
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// A connected socket, and how far its two streams of pattern data are.
pub(crate) struct Connection {
    socket: OwnedFd,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, sent: AtomicU64::new(0), received: AtomicU64::new(0) }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The inode, by which `smc_diag` names the socket.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.socket)?.st_ino)
    }
}

struct Listener {
    stop: AtomicBool,
    arrivals: Mutex<Arrivals>,
    changed: Condvar,
}

#[derive(Default)]
struct Arrivals {
    served: Vec<Served>,
    /// Connections of a manual listener that nobody has fetched.
    waiting: VecDeque<Handle>,
}

/// All sockets of this agent.
#[derive(Default)]
pub(crate) struct Sockets {
    handles: AtomicU32,
    connections: Mutex<BTreeMap<Handle, Arc<Connection>>>,
    listeners: Mutex<BTreeMap<Handle, Arc<Listener>>>,
}

impl Sockets {
    /// A handle that was never given before.
    pub(crate) fn new_handle(&self) -> Handle {
        self.handles.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn connection(&self, handle: Handle) -> Result<Arc<Connection>, Failure> {
        lock(&self.connections).get(&handle).cloned().ok_or_else(|| Failure::unknown("connection", handle))
    }

    fn listener(&self, handle: Handle) -> Result<Arc<Listener>, Failure> {
        lock(&self.listeners).get(&handle).cloned().ok_or_else(|| Failure::unknown("listener", handle))
    }

    fn adopt(&self, socket: OwnedFd) -> (Handle, Arc<Connection>) {
        let connection = Arc::new(Connection::new(socket));
        let handle = self.new_handle();
        lock(&self.connections).insert(handle, connection.clone());
        (handle, connection)
    }

    pub(crate) fn connect(
        &self,
        family: Family,
        address: Ipv4Addr,
        port: u16,
        options: &[SocketOption],
    ) -> Result<Handle, Failure> {
        let socket = open(family, options)?;
        rustix::net::connect(&socket, &SocketAddrV4::new(address, port))?;
        Ok(self.adopt(socket).0)
    }

    pub(crate) fn listen(
        self: &Arc<Self>,
        family: Family,
        port: u16,
        backlog: i32,
        behaviour: Behaviour,
        options: &[SocketOption],
    ) -> Result<Handle, Failure> {
        let socket = open(family, options)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
        rustix::net::listen(&socket, backlog)?;
        // Not blocking, so that the thread sees when it shall stop.
        fcntl_setfl(&socket, OFlags::NONBLOCK)?;
        let listener = Arc::new(Listener {
            stop: AtomicBool::new(false),
            arrivals: Mutex::default(),
            changed: Condvar::new(),
        });
        let handle = self.new_handle();
        lock(&self.listeners).insert(handle, listener.clone());
        let sockets = self.clone();
        thread::spawn(move || sockets.accept_loop(&socket, &listener, behaviour));
        Ok(handle)
    }

    fn accept_loop(self: Arc<Self>, socket: &OwnedFd, listener: &Arc<Listener>, behaviour: Behaviour) {
        const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        while !listener.stop.load(Ordering::Relaxed) {
            let mut ready = [PollFd::new(socket, PollFlags::IN)];
            let _ = poll(&mut ready, Some(&LOOK));
            let Ok((accepted, peer)) = rustix::net::acceptfrom(socket) else { continue };
            let peer = peer.and_then(|p| SocketAddrV4::try_from(p).ok()).map(|p| p.to_string());
            let (handle, connection) = self.adopt(accepted);
            let mut arrivals = lock(&listener.arrivals);
            let place = arrivals.served.len();
            arrivals.served.push(Served {
                handle,
                peer: peer.unwrap_or_default(),
                received: Transfer::default(),
                sent: Transfer::default(),
                ended: false,
            });
            if behaviour == Behaviour::Manual {
                arrivals.waiting.push_back(handle);
            } else {
                let (sockets, listener) = (self.clone(), listener.clone());
                thread::spawn(move || sockets.serve(&listener, place, handle, connection, behaviour));
            }
            listener.changed.notify_all();
        }
    }

    /// One connection of a listener, from its arrival to its close.
    fn serve(
        &self,
        listener: &Listener,
        place: usize,
        handle: Handle,
        connection: Arc<Connection>,
        behaviour: Behaviour,
    ) {
        let socket = connection.socket();
        let forever = Instant::now() + Duration::from_secs(24 * 3600);
        let plan = |stream, octets| Plan { stream, offset: 0, octets, chunk: 64 * 1024, deadline: forever };
        let (received, sent) = match behaviour {
            Behaviour::Echo => carry::echo(socket),
            Behaviour::Sink(stream) => (plan(stream, None).receive(socket), Transfer::default()),
            Behaviour::Source { stream, octets } => {
                (Transfer::default(), plan(stream, Some(octets)).send(socket))
            }
            Behaviour::Manual => return,
        };
        lock(&self.connections).remove(&handle);
        drop(connection);
        let mut arrivals = lock(&listener.arrivals);
        if let Some(served) = arrivals.served.get_mut(place) {
            (served.received, served.sent, served.ended) = (received, sent, true);
        }
        listener.changed.notify_all();
    }

    pub(crate) fn served(&self, listener: Handle) -> Result<Vec<Served>, Failure> {
        Ok(lock(&self.listener(listener)?.arrivals).served.clone())
    }

    /// Waits until so many connections have come, or, with `ended`, have ended.
    pub(crate) fn await_served(
        &self,
        listener: Handle,
        count: usize,
        ended: bool,
        patience: Duration,
    ) -> Result<Vec<Served>, Failure> {
        let listener = self.listener(listener)?;
        let so_far = |a: &Arrivals| a.served.iter().filter(|s| s.ended || !ended).count();
        let arrivals = lock(&listener.arrivals);
        let (arrivals, _) = listener
            .changed
            .wait_timeout_while(arrivals, patience, |a| so_far(a) < count)
            .unwrap_or_else(PoisonError::into_inner);
        if so_far(&arrivals) < count {
            let what = if ended { "ended" } else { "came" };
            let text = format!("{} of {count} connections {what}: {:?}", so_far(&arrivals), arrivals.served);
            return Err(Failure::says(&text));
        }
        Ok(arrivals.served.clone())
    }

    pub(crate) fn accept(&self, listener: Handle, patience: Duration) -> Result<Handle, Failure> {
        let listener = self.listener(listener)?;
        let arrivals = lock(&listener.arrivals);
        let (mut arrivals, _) = listener
            .changed
            .wait_timeout_while(arrivals, patience, |a| a.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        arrivals.waiting.pop_front().ok_or_else(|| Failure::says("no connection came"))
    }

    /// Closes; returns when `close` has returned.
    pub(crate) fn close(&self, handle: Handle) -> Result<(), Failure> {
        if let Some(listener) = lock(&self.listeners).remove(&handle) {
            listener.stop.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let connection = lock(&self.connections).remove(&handle);
        let connection = connection.ok_or_else(|| Failure::unknown("socket", handle))?;
        match Arc::try_unwrap(connection) {
            Ok(connection) => {
                drop(connection);
                Ok(())
            }
            Err(_) => Err(Failure::says("another request still uses the connection")),
        }
    }

    /// Closes everything; what somebody still uses is shut down first.
    pub(crate) fn close_all(&self) {
        for (_, listener) in std::mem::take(&mut *lock(&self.listeners)) {
            listener.stop.store(true, Ordering::Relaxed);
        }
        for (_, connection) in std::mem::take(&mut *lock(&self.connections)) {
            if Arc::strong_count(&connection) > 1 {
                let _ = rustix::net::shutdown(&connection.socket, Shutdown::Both);
            }
        }
    }

    pub(crate) fn shutdown(&self, handle: Handle, half: Half) -> Result<(), Failure> {
        let how = match half {
            Half::Write => Shutdown::Write,
            Half::Read => Shutdown::Read,
            Half::Both => Shutdown::Both,
        };
        Ok(rustix::net::shutdown(self.connection(handle)?.socket(), how)?)
    }

    pub(crate) fn set_option(&self, handle: Handle, option: SocketOption) -> Result<(), Failure> {
        Ok(set(self.connection(handle)?.socket(), option)?)
    }
}

fn open(family: Family, options: &[SocketOption]) -> Result<OwnedFd, Errno> {
    let family = match family {
        Family::Smc => AF_SMC,
        Family::Tcp => AddressFamily::INET,
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    options.iter().try_for_each(|option| set(socket.as_fd(), *option))?;
    Ok(socket)
}

fn set(socket: BorrowedFd<'_>, option: SocketOption) -> Result<(), Errno> {
    match option {
        SocketOption::ReceiveBuffer(octets) => sockopt::set_socket_recv_buffer_size(socket, octets),
        SocketOption::SendBuffer(octets) => sockopt::set_socket_send_buffer_size(socket, octets),
        SocketOption::LingerZero => sockopt::set_socket_linger(socket, Some(Duration::ZERO)),
        SocketOption::KeepAlive(on) => sockopt::set_socket_keepalive(socket, on),
        SocketOption::UrgentInline(on) => sockopt::set_socket_oobinline(socket, on),
        SocketOption::Cork(on) => sockopt::set_tcp_cork(socket, on),
        SocketOption::NoDelay(on) => sockopt::set_tcp_nodelay(socket, on),
    }
}
