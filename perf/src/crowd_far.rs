//! The far end of many connections: serves whoever has something to say.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::task::Waker;
use std::time::Instant;

use smolsmc::{ListenOptions, ListenerHandle, RecvError, SocketHandle};
use smolsmc_drive::Token;

use crate::crowd_host::{CrowdHost, Kind, MOST, PIECE};
use crate::fault::{Alive, Fault};
use crate::order::{Control, Order, Report};

const WHAT: &str = "a connection of many";
/// Polls between two looks for an order: a look is a system call.
const ORDERS: u32 = 64;

/// A place for a connection; its waker is used again.
struct Place {
    waker: Waker,
    socket: Option<(SocketHandle, Kind)>,
}

struct Server {
    crowd: CrowdHost,
    listeners: [Option<(ListenerHandle, Kind)>; Kind::ALL.len()],
    places: Vec<Place>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

/// Obeys until that is all.
pub(crate) fn obey(control: &mut Control, alive: &Alive) -> Result<(), Fault> {
    let [socket] = control.passed()?;
    let mut server = Server {
        crowd: CrowdHost::new(2, socket.into(), alive)?,
        listeners: [None; Kind::ALL.len()],
        places: Vec::new(),
        free: Vec::new(),
        buffer: vec![0; PIECE],
    };
    server.listen()?;
    control.report(Report::default())?;
    loop {
        match control.next_order()? {
            Order::Host => {
                let (start, cpu) = (Instant::now(), control.cpu());
                server.host(control)?;
                let report = Report { nanos: start.elapsed().as_nanos() as u64, cpu: control.cpu() - cpu };
                control.next_order()?;
                control.report(report)?;
            }
            Order::End => return Ok(()),
            order => return Err(Fault::Impossible(format!("{order:?} has no place here"))),
        }
    }
}

impl Server {
    fn listen(&mut self) -> Result<(), Fault> {
        for (place, kind) in self.listeners.iter_mut().zip(Kind::ALL) {
            let mut options = ListenOptions::USUAL;
            (options.socket, options.backlog) = (kind.options(), MOST);
            let listener = self.crowd.host.stack.listen(kind.server(), options);
            *place = Some((listener.map_err(Fault::wire(WHAT))?, kind));
        }
        Ok(())
    }

    /// Serves until there is another order.
    fn host(&mut self, control: &Control) -> Result<(), Fault> {
        let mut polls = 0_u32;
        loop {
            self.crowd.poll()?;
            for (listener, kind) in self.listeners.into_iter().flatten() {
                while let Some(socket) = self.crowd.host.stack.accept(listener) {
                    self.admit(socket, kind)?;
                }
            }
            // After much was copied it is the stack's turn.
            while let Some(Token(place)) = self.crowd.driver.next_ready()
                && !self.serve(place as usize)?
            {}
            polls = polls.wrapping_add(1);
            if polls.is_multiple_of(ORDERS) && control.has_news() {
                return Ok(());
            }
        }
    }

    fn admit(&mut self, socket: SocketHandle, kind: Kind) -> Result<(), Fault> {
        let at = self.free.pop().unwrap_or_else(|| {
            let at = self.places.len();
            self.places.push(Place { waker: self.crowd.driver.waker(Token(at as u64)), socket: None });
            at
        });
        self.places[at].socket = Some((socket, kind));
        self.serve(at).map(drop)
    }

    /// Takes what there is, and says when to come again. Of a stream it takes a
    /// piece; whether it was one.
    fn serve(&mut self, at: usize) -> Result<bool, Fault> {
        let Some(place) = self.places.get_mut(at) else { return Ok(false) };
        let Some((handle, kind)) = place.socket else { return Ok(false) };
        let Ok(mut socket) = self.crowd.host.stack.socket(handle) else { return Ok(false) };
        let is_over = loop {
            match socket.recv(&mut self.buffer) {
                Ok(0) | Err(RecvError::Over(_)) => break true,
                Ok(_) if kind == Kind::Sink => {
                    place.waker.wake_by_ref();
                    return Ok(true);
                }
                Ok(len) => match socket.send(&self.buffer[..len]) {
                    Ok(sent) if sent == len => {}
                    Ok(_) => return Err(Fault::Wire { what: WHAT, why: "an echo did not fit".to_owned() }),
                    Err(error) => return Err(Fault::wire(WHAT)(error)),
                },
                Err(RecvError::WouldBlock) => break false,
                Err(error) => return Err(Fault::wire(WHAT)(error)),
            }
        };
        if is_over {
            socket.close();
            place.socket = None;
            self.free.push(at);
        } else {
            socket.register_recv_waker(&place.waker);
        }
        Ok(false)
    }
}
