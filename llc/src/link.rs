use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smolsmc_wire::{Duration, Instant, LinkNumber, Rkey};

use crate::{
    AddLink, Body, ConfirmLink, ConfirmRkey, DeleteLink, DeleteReason, DeleteRkey, HostOrder, Message,
    Others, RejectReason, TestLink, Version,
};

/// Who made the link group: roles never change in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It connected.
    Client,
    /// It was listening, and numbers the links.
    Server,
}

/// Where a link is in its life, as Linux 6.12 smc_core names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkState {
    /// CONFIRM LINK is under way.
    Activating,
    /// Data may flow.
    Active,
    /// It ends, or has ended.
    Inactive,
}

/// How long a link waits for what. The values of [`Timers::LINUX`] are those
/// of Linux 6.12 smc_llc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The server's patience with CONFIRM LINK's response.
    pub confirm_link_response: Duration,
    /// The client's patience with CONFIRM LINK's request.
    pub confirm_link_request: Duration,
    /// From the Confirm to the server's CONFIRM LINK: a Linux client drops one
    /// that it gets before it has armed its flow, just after its Confirm.
    pub confirm_link_delay: Duration,
    /// When the server says CONFIRM LINK again; only where no second link is
    /// negotiated, for else a duplicate disturbs a Linux client.
    pub confirm_link_again: Duration,
    /// For every other response.
    pub response: Duration,
    /// Without a SEND from the peer for so long, TEST LINK asks for one;
    /// `ZERO` never asks.
    pub test_link: Duration,
}

impl Timers {
    /// As Linux 6.12 has them.
    pub const LINUX: Self = Self {
        confirm_link_response: Duration::from_secs(2),
        confirm_link_request: Duration::from_secs(4),
        confirm_link_delay: Duration::from_millis(5),
        confirm_link_again: Duration::from_millis(500),
        response: Duration::from_secs(2),
        test_link: Duration::from_secs(30),
    };
}

/// What the owner of a link is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkAction {
    /// Bring the queue pair to RTS.
    ReadyToSend,
    /// Send this on the link.
    Send(Message),
    /// The link carries data from now on.
    Active,
    /// CONFIRM RKEY for this rkey was answered, or not in time.
    RkeyConfirmed(Rkey, bool),
    /// The server offered a second link, and hears no.
    AddLinkRejected,
    /// The peer keeps eyecatchers in its RMBEs, which is not done here.
    Eyecatcher,
    /// The link is over; with it the group, if it has no other.
    Down(DownReason),
}

/// Why a link went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DownReason {
    /// CONFIRM LINK was not answered, or did not come, in time.
    ConfirmLinkTimeout,
    /// TEST LINK was not answered.
    TestLinkTimeout,
    /// The peer deleted this link, or all, and said why.
    Deleted(DeleteReason),
    /// We did.
    DeletedHere,
}

/// The LLC side of one link: who says what when (RFC 7609 §3.5, §4.5; Linux
/// 6.12 smc_llc). Messages and time go in, [`LinkAction`]s come out.
///
/// ```text
///   server  -- CONFIRM LINK -->  client      Activating
///           <-- response ------              Active
///           <-> CONFIRM RKEY, DELETE RKEY, TEST LINK, ADD LINK (rejected)
///           <-> DELETE LINK                  Inactive
/// ```
///
/// A second link is not made yet: ADD LINK is rejected, REQUEST ADD LINK is
/// answered with no.
#[derive(Clone, Debug)]
pub struct Link {
    role: Role,
    version: Version,
    state: LinkState,
    own: ConfirmLink,
    timers: Timers,
    /// When CONFIRM LINK is said (server), and until when it is waited for.
    confirm_at: Option<Instant>,
    confirm_until: Instant,
    /// Our CONFIRM RKEY and DELETE RKEY: the first is out once it has a deadline.
    rkeys: VecDeque<RkeyRequest>,
    rkey_until: Option<Instant>,
    heard_at: Instant,
    test_until: Option<Instant>,
    /// The peer's RMBs on this link, as far as it told.
    peer_rkeys: Vec<Rkey>,
    actions: VecDeque<LinkAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RkeyRequest {
    Confirm { rkey: Rkey, address: u64 },
    Delete(Rkey),
}

/// RMBs of a peer that are kept account of, as many as a Linux peer can have.
pub const MAX_PEER_RKEYS: usize = 255;

/// Our own rkey requests that can wait.
pub const MAX_RKEY_REQUESTS: usize = 512;

impl Link {
    /// A link whose queue pair is in RTR (client) or RTS (server). `own` is this
    /// end of it; a client adopts the server's number.
    #[must_use]
    pub fn new(role: Role, own: ConfirmLink, timers: Timers, now: Instant) -> Self {
        let (confirm_at, confirm_until) = match role {
            Role::Server => {
                let at = now + timers.confirm_link_delay;
                (Some(at), at + timers.confirm_link_response)
            }
            Role::Client => (None, now + timers.confirm_link_request),
        };
        Self {
            role,
            version: Version::V2(HostOrder::Little),
            state: LinkState::Activating,
            own,
            timers,
            confirm_at,
            confirm_until,
            rkeys: VecDeque::new(),
            rkey_until: None,
            heard_at: now,
            test_until: None,
            peer_rkeys: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// Where it is.
    #[inline]
    #[must_use]
    pub const fn state(&self) -> LinkState {
        self.state
    }

    /// Its number: the server's choice.
    #[inline]
    #[must_use]
    pub const fn number(&self) -> LinkNumber {
        self.own.link_number
    }

    /// What to do next; call until `None` after every other call.
    pub fn next_action(&mut self) -> Option<LinkAction> {
        self.actions.pop_front()
    }

    /// When [`Link::run_timers`] has something to do.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        match self.state {
            LinkState::Inactive => None,
            LinkState::Activating => {
                Some(self.confirm_at.map_or(self.confirm_until, |at| at.min(self.confirm_until)))
            }
            LinkState::Active => {
                let test = match self.test_until {
                    Some(until) => Some(until),
                    None if self.timers.test_link == Duration::ZERO => None,
                    None => Some(self.heard_at + self.timers.test_link),
                };
                [test, self.rkey_until].into_iter().flatten().min()
            }
        }
    }

    /// A SEND of the peer arrived, of whatever kind: it lives.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// The peer told of this RMB in its CLC message.
    pub fn learn_rkey(&mut self, rkey: Rkey) -> bool {
        if self.peer_rkeys.contains(&rkey) {
            return true;
        }
        let room = self.peer_rkeys.len() < MAX_PEER_RKEYS;
        if room {
            self.peer_rkeys.push(rkey);
        }
        room
    }

    /// Tells the peer of a new RMB; [`LinkAction::RkeyConfirmed`] follows. False
    /// if [`MAX_RKEY_REQUESTS`] wait already, or the link is not active.
    pub fn confirm_rkey(&mut self, now: Instant, rkey: Rkey, address: u64) -> bool {
        self.request_rkey(now, RkeyRequest::Confirm { rkey, address })
    }

    /// Tells the peer that an RMB is no more. What it answers changes nothing.
    pub fn delete_rkey(&mut self, now: Instant, rkey: Rkey) -> bool {
        self.request_rkey(now, RkeyRequest::Delete(rkey))
    }

    /// Ends the link, and with `all` the group.
    pub fn delete(&mut self, reason: DeleteReason, orderly: bool) {
        if self.state != LinkState::Inactive {
            self.say_delete_all(reason, orderly);
            self.down(DownReason::DeletedHere);
        }
    }

    /// Does what is due.
    pub fn run_timers(&mut self, now: Instant) {
        match self.state {
            LinkState::Activating => self.activation_timers(now),
            LinkState::Active => {
                self.rkey_timer(now);
                self.test_timer(now);
            }
            LinkState::Inactive => {}
        }
    }

    fn activation_timers(&mut self, now: Instant) {
        if now >= self.confirm_until {
            return self.down(DownReason::ConfirmLinkTimeout);
        }
        if self.confirm_at.is_some_and(|at| now >= at) {
            self.say(false, Body::ConfirmLink(self.own));
            self.confirm_at = (self.own.max_links == 1).then(|| now + self.timers.confirm_link_again);
        }
    }

    fn rkey_timer(&mut self, now: Instant) {
        if self.rkey_until.is_some_and(|until| now >= until) {
            self.rkey_answered(now, false);
        }
    }

    fn test_timer(&mut self, now: Instant) {
        if self.test_until.is_some_and(|until| now >= until) {
            return self.down(DownReason::TestLinkTimeout);
        }
        let due = self.timers.test_link != Duration::ZERO && now >= self.heard_at + self.timers.test_link;
        if due && self.test_until.is_none() {
            self.test_until = Some(now + self.timers.response);
            self.say(false, Body::TestLink(TestLink::default()));
        }
    }

    /// A message of the peer.
    pub fn hear(&mut self, now: Instant, message: &Message) {
        self.heard_at = now;
        if self.state == LinkState::Inactive {
            return;
        }
        match (&message.body, message.response) {
            (Body::ConfirmLink(theirs), response) => self.hear_confirm_link(now, theirs, response),
            (Body::AddLink(offer), false) => self.reject_add_link(offer),
            (Body::RequestAddLink(_), false) if self.role == Role::Server => self.refuse_request_add_link(),
            (Body::ConfirmRkey(theirs), false) => self.answer_confirm_rkey(theirs),
            (Body::ConfirmRkey(answer), true) => self.hear_rkey_answer(now, answer.rkey, !answer.negative),
            (Body::DeleteRkey(theirs), false) => self.answer_delete_rkey(theirs),
            (Body::DeleteRkey(_), true) => self.hear_delete_rkey_answer(now),
            (Body::TestLink(test), false) => self.say(true, Body::TestLink(*test)),
            (Body::TestLink(_), true) => self.test_until = None,
            (Body::DeleteLink(theirs), response) => self.hear_delete_link(theirs, response),
            // What is unknown, or answers nothing that was asked.
            _ => {}
        }
    }

    fn hear_confirm_link(&mut self, now: Instant, theirs: &ConfirmLink, response: bool) {
        let expected = response == (self.role == Role::Server);
        if !expected {
            return;
        }
        if self.state == LinkState::Active {
            // The server did not hear our answer, or heard it late and asked again.
            if !response {
                self.say(true, Body::ConfirmLink(self.own));
            }
            return;
        }
        if !theirs.no_eyecatcher.is_said() {
            self.actions.push_back(LinkAction::Eyecatcher);
            return self.down(DownReason::ConfirmLinkTimeout);
        }
        if self.role == Role::Client {
            self.own.link_number = theirs.link_number;
            self.actions.push_back(LinkAction::ReadyToSend);
            self.say(true, Body::ConfirmLink(self.own));
        }
        self.state = LinkState::Active;
        self.confirm_at = None;
        self.actions.push_back(LinkAction::Active);
        self.next_rkey_request(now);
    }

    /// The first 44 octets of the request come back, as from Linux 6.12 with
    /// one device.
    fn reject_add_link(&mut self, offer: &AddLink) {
        if self.role == Role::Server {
            return;
        }
        let reject_reason = match self.version {
            Version::V1 => RejectReason::NO_ALTERNATE_PATH,
            Version::V2(_) => RejectReason::NONE,
        };
        let answer = AddLink { rejected: true, reject_reason, extension: None, ..offer.clone() };
        self.say(true, Body::AddLink(answer));
        self.actions.push_back(LinkAction::AddLinkRejected);
    }

    fn refuse_request_add_link(&mut self) {
        self.say(true, Body::RequestAddLink(crate::RequestAddLink { gids: Vec::new() }));
    }

    /// Linux 6.12 smc_llc takes up to three other tokens; the peer has one link
    /// with us, so each of them is for a link we do not know.
    fn answer_confirm_rkey(&mut self, theirs: &ConfirmRkey) {
        let taken = theirs.others.count() == 0 && self.learn_rkey(theirs.rkey);
        let answer = ConfirmRkey { negative: !taken, retry: !taken, ..*theirs };
        self.say(true, Body::ConfirmRkey(answer));
    }

    fn answer_delete_rkey(&mut self, theirs: &DeleteRkey) {
        let mut errors = 0u8;
        for (index, rkey) in theirs.rkeys.iter().enumerate() {
            let known = self.peer_rkeys.iter().position(|known| known == rkey);
            match (known, self.version) {
                (Some(at), _) => {
                    self.peer_rkeys.swap_remove(at);
                }
                (None, Version::V1) => errors |= DeleteRkey::mask_bit(index),
                (None, Version::V2(_)) => errors = errors.saturating_add(1),
            }
        }
        let answer = match self.version {
            Version::V1 => DeleteRkey { negative: errors != 0, errors, ..theirs.clone() },
            // As Linux 6.12: the count, and an area of zeros.
            Version::V2(_) => DeleteRkey {
                negative: errors != 0,
                errors,
                rkeys: Vec::new(),
                unlisted: u8::try_from(theirs.count()).unwrap_or(u8::MAX),
            },
        };
        self.say(true, Body::DeleteRkey(answer));
    }

    fn hear_rkey_answer(&mut self, now: Instant, rkey: Rkey, positive: bool) {
        let asked =
            matches!(self.rkeys.front(), Some(RkeyRequest::Confirm { rkey: asked, .. }) if *asked == rkey);
        if asked && self.rkey_until.is_some() {
            self.rkey_answered(now, positive);
        }
    }

    fn hear_delete_rkey_answer(&mut self, now: Instant) {
        if matches!(self.rkeys.front(), Some(RkeyRequest::Delete(_))) && self.rkey_until.is_some() {
            self.rkey_answered(now, true);
        }
    }

    fn rkey_answered(&mut self, now: Instant, positive: bool) {
        self.rkey_until = None;
        if let Some(RkeyRequest::Confirm { rkey, .. }) = self.rkeys.pop_front() {
            self.actions.push_back(LinkAction::RkeyConfirmed(rkey, positive));
        }
        self.next_rkey_request(now);
    }

    fn request_rkey(&mut self, now: Instant, request: RkeyRequest) -> bool {
        if self.state == LinkState::Inactive || self.rkeys.len() >= MAX_RKEY_REQUESTS {
            return false;
        }
        self.rkeys.push_back(request);
        self.next_rkey_request(now);
        true
    }

    /// One at a time: Linux drops a second one.
    fn next_rkey_request(&mut self, now: Instant) {
        if self.state != LinkState::Active || self.rkey_until.is_some() {
            return;
        }
        let body = match self.rkeys.front() {
            Some(RkeyRequest::Confirm { rkey, address }) => Body::ConfirmRkey(ConfirmRkey {
                negative: false,
                retry: false,
                rkey: *rkey,
                address: *address,
                others: Others::NONE,
            }),
            Some(RkeyRequest::Delete(rkey)) => Body::DeleteRkey(DeleteRkey::request(alloc::vec![*rkey])),
            None => return,
        };
        self.rkey_until = Some(now + self.timers.response);
        self.say(false, body);
    }

    /// RFC 7609 §4.5.3: the server's request counts. With one link, its end is
    /// the group's.
    fn hear_delete_link(&mut self, theirs: &DeleteLink, response: bool) {
        if response {
            return;
        }
        let known = theirs.all || theirs.link_number == self.number();
        match (self.role, known) {
            (Role::Client, _) if !theirs.all => {
                let reason = if known { DeleteReason::NONE } else { DeleteReason::UNKNOWN_LINK };
                self.say(true, Body::DeleteLink(DeleteLink { reason, ..*theirs }));
            }
            (Role::Server, false) => return,
            // All: each side says it too, and Linux waits for the words to be heard.
            (Role::Client, _) => self.say_delete_all(DeleteReason::PROGRAM_INITIATED, false),
            (Role::Server, true) => {
                let orderly = theirs.orderly || theirs.all;
                self.say(false, Body::DeleteLink(DeleteLink { orderly, ..*theirs }));
            }
        }
        if known {
            self.down(DownReason::Deleted(theirs.reason));
        }
    }

    fn say_delete_all(&mut self, reason: DeleteReason, orderly: bool) {
        let body = DeleteLink { all: true, orderly, link_number: LinkNumber(0), reason };
        self.say(false, Body::DeleteLink(body));
    }

    fn say(&mut self, response: bool, body: Body) {
        self.actions.push_back(LinkAction::Send(Message { version: self.version, response, body }));
    }

    fn down(&mut self, reason: DownReason) {
        self.state = LinkState::Inactive;
        while let Some(request) = self.rkeys.pop_front() {
            if let RkeyRequest::Confirm { rkey, .. } = request {
                self.actions.push_back(LinkAction::RkeyConfirmed(rkey, false));
            }
        }
        self.actions.push_back(LinkAction::Down(reason));
    }
}
