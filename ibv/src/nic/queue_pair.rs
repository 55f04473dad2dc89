use ibverbs_sys as ffi;
use smolsmc_verbs::{
    Access, CqHandle, DeviceId, InitAttributes, Payload, PdHandle, PortNumber, PostError, QpCapabilities,
    QpState, RecvRequest, SendOperation, SendRequest, VerbsError, WcOpcode,
};
use smolsmc_wire::Qpn;

use super::state;
use crate::outstanding::{Outstanding, Token};
use crate::raw::{ENOMEM, Errno, Qp, Scratch, refusal};

/// A request to send that is under way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) wr_id: u64,
    pub(super) opcode: WcOpcode,
    pub(super) len: u32,
}

/// A queue pair.
#[derive(Debug)]
pub(super) struct QueuePair {
    pub(super) device: DeviceId,
    pub(super) pd: PdHandle,
    pub(super) send_cq: CqHandle,
    pub(super) recv_cq: CqHandle,
    /// `None` once the device is gone.
    pub(super) raw: Option<Qp>,
    pub(super) qpn: Qpn,
    pub(super) port: u8,
    pub(super) granted: QpCapabilities,
    /// Where we brought it, or ERR once it was seen there.
    pub(super) state: QpState,
    place: u32,
    pub(super) sends: Outstanding<Sent>,
    pub(super) receives: Outstanding<u64>,
}

/// What a queue pair is made from.
pub(super) struct Origin {
    pub(super) device: DeviceId,
    pub(super) pd: PdHandle,
    pub(super) send_cq: CqHandle,
    pub(super) recv_cq: CqHandle,
}

fn posting(errno: Errno) -> VerbsError {
    if errno == ENOMEM { VerbsError::QueueFull } else { refusal(errno, "requests") }
}

impl QueuePair {
    pub(super) fn new(origin: Origin, raw: Qp, granted: QpCapabilities, place: u32) -> Self {
        let Origin { device, pd, send_cq, recv_cq } = origin;
        Self {
            device,
            pd,
            send_cq,
            recv_cq,
            qpn: Qpn::new(raw.number()),
            raw: Some(raw),
            port: 0,
            granted,
            state: QpState::Reset,
            place,
            sends: Outstanding::new(granted.max_send_wr),
            receives: Outstanding::new(granted.max_recv_wr),
        }
    }

    fn raw(&self) -> Result<&Qp, VerbsError> {
        self.raw.as_ref().ok_or(VerbsError::DeviceGone)
    }

    /// It was seen in ERR. Receives that were posted in the moment before it went
    /// there may have escaped the flush, since some libraries post them without
    /// the kernel's knowledge: going there once more takes them along.
    pub(super) fn fail(&mut self) {
        if self.state != QpState::Error {
            self.state = QpState::Error;
            self.flush();
        }
    }

    fn flush(&self) {
        if self.receives.len() > 0
            && let Some(raw) = &self.raw
        {
            let (attributes, mask) = state::to_state(ffi::ibv_qp_state::IBV_QPS_ERR);
            // If that is refused there is nothing left to do: the device is ill.
            let _ = raw.modify(&attributes, mask);
        }
    }

    /// Brings it to ERR, as its device goes; whether receives will come back.
    pub(super) fn stop(&mut self) -> bool {
        self.state = QpState::Error;
        self.flush();
        self.raw.is_some() && self.receives.len() > 0
    }

    pub(super) fn lose(&mut self) {
        self.raw = None;
        self.state = QpState::Error;
        self.sends.forget();
        self.receives.forget();
    }

    /// Its state now: a peer or the device may have brought it to ERR.
    pub(super) fn look(&mut self) -> Result<QpState, VerbsError> {
        if matches!(self.state, QpState::ReadyToReceive | QpState::ReadyToSend) {
            let found = self.raw()?.state().map_err(|errno| refusal(errno, "state"))?;
            if state::read_state(found) == QpState::Error {
                self.fail();
            }
        }
        Ok(self.state)
    }

    /// Linux lets no queue pair go from RESET to ERR, as IBTA §10.3.1 does: it
    /// takes the way over INIT.
    pub(super) fn leave_reset(&mut self) -> Result<(), VerbsError> {
        if self.state != QpState::Reset {
            return Ok(());
        }
        let to = InitAttributes { port: PortNumber(1), pkey_index: 0, access: Access::empty() };
        self.change(&state::to_init(&to), QpState::Init)
    }

    /// Puts a change that was checked into effect.
    pub(super) fn change(&mut self, change: &state::Change, to: QpState) -> Result<(), VerbsError> {
        let (attributes, mask) = change;
        self.raw()?.modify(attributes, *mask).map_err(|errno| refusal(errno, "queue pairs"))?;
        self.state = to;
        if to == QpState::Reset {
            self.sends.forget();
            self.receives.forget();
        }
        Ok(())
    }

    fn check_send(&self, request: &SendRequest<'_>) -> Result<Sent, VerbsError> {
        if self.sends.is_full() {
            return Err(VerbsError::QueueFull);
        }
        let len = match request.payload {
            Payload::Registered(sges) if sges.len() > self.granted.max_send_sge as usize => {
                return Err(VerbsError::OutOfRange("number of elements"));
            }
            Payload::Registered(sges) => sges.iter().fold(0_u32, |sum, sge| sum.saturating_add(sge.len)),
            Payload::Inline(octets) if octets.len() > self.granted.max_inline_data as usize => {
                return Err(VerbsError::OutOfRange("inline data"));
            }
            Payload::Inline(octets) => octets.len() as u32,
        };
        let opcode = match request.operation {
            SendOperation::Send => WcOpcode::Send,
            SendOperation::Write { .. } | SendOperation::WriteWithImmediate { .. } => WcOpcode::Write,
            SendOperation::Read { .. } => WcOpcode::Read,
        };
        Ok(Sent { wr_id: request.wr_id, opcode, len })
    }

    #[inline]
    pub(super) fn post_send(
        &mut self,
        requests: &[SendRequest<'_>],
        scratch: &mut Scratch,
    ) -> Result<(), PostError> {
        let Some(raw) = &self.raw else { return gone() };
        if !matches!(self.state, QpState::ReadyToSend | QpState::Error) {
            return Err(PostError { posted: 0, error: VerbsError::WrongState(self.state) });
        }
        let first = self.sends.next();
        let (mut good, mut result) = (0, Ok(()));
        for request in requests {
            match self.check_send(request) {
                Ok(sent) => self.sends.push(sent),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            good += 1;
        }
        let list = requests.get(..good).unwrap_or_default();
        let (place, mut posted) = (self.place, 0);
        while posted < good {
            let token = Token::new(place, false, first.wrapping_add(posted as u64));
            let (count, said) = raw.post_send(scratch, list.get(posted..).unwrap_or_default(), token);
            posted += count;
            if let Err(errno) = said {
                self.sends.take_back(good - posted);
                return Err(PostError { posted, error: posting(errno) });
            }
        }
        result.map_err(|error| PostError { posted, error })
    }

    #[inline]
    pub(super) fn post_recv(
        &mut self,
        requests: &[RecvRequest<'_>],
        scratch: &mut Scratch,
    ) -> Result<(), PostError> {
        let Some(raw) = &self.raw else { return gone() };
        if self.state == QpState::Reset {
            return Err(PostError { posted: 0, error: VerbsError::WrongState(self.state) });
        }
        let first = self.receives.next();
        let (mut good, mut result) = (0, Ok(()));
        for request in requests {
            if self.receives.is_full() {
                result = Err(VerbsError::QueueFull);
                break;
            }
            if request.sges.len() > self.granted.max_recv_sge as usize {
                result = Err(VerbsError::OutOfRange("number of elements"));
                break;
            }
            self.receives.push(request.wr_id);
            good += 1;
        }
        let list = requests.get(..good).unwrap_or_default();
        let (place, mut posted) = (self.place, 0);
        while posted < good {
            let token = Token::new(place, true, first.wrapping_add(posted as u64));
            let (count, said) = raw.post_recv(scratch, list.get(posted..).unwrap_or_default(), token);
            posted += count;
            if let Err(errno) = said {
                self.receives.take_back(good - posted);
                result = Err(posting(errno));
                break;
            }
        }
        if self.state == QpState::Error {
            self.flush();
        }
        result.map_err(|error| PostError { posted, error })
    }
}

const fn gone() -> Result<(), PostError> {
    Err(PostError { posted: 0, error: VerbsError::DeviceGone })
}
