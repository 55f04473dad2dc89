mod deleting;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smolsmc_wire::{Duration, Instant, LinkNumber, Rkey};

use crate::liveness::{Due, Liveness};
use crate::{
    AddLink, Body, ConfirmLink, ConfirmRkey, DeleteLink, DeleteReason, DeleteRkey, HostOrder, Ledger,
    LinkRkey, Message, Others, RejectReason, RequestAddLink, TestLink, Timers, Version,
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
    /// TEST LINK was answered: every SEND before it was taken from the peer's
    /// receive queue.
    Tested,
    /// CONFIRM RKEY for this rkey was answered, or not in time.
    RkeyConfirmed(Rkey, bool),
    /// The server offers a further link: [`Link::answer_add_link`] or
    /// [`Link::reject_add_link`].
    AddLinkOffered(Box<AddLink>),
    /// The client's answer to our offer of a further link; `None` if it has
    /// another wish, or none in time.
    AddLinkAnswered(Option<Box<AddLink>>),
    /// One link of the group is deleted, and the peer was answered.
    LinkDeleted(LinkNumber, DeleteReason),
    /// All of them are.
    GroupDeleted(DeleteReason),
    /// The peer keeps eyecatchers in its RMBEs, which is not done here.
    Eyecatcher,
    /// This link is over.
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
    /// The peer deleted it, and said why.
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
///           <-> CONFIRM RKEY, DELETE RKEY, TEST LINK, ADD LINK
///           <-> DELETE LINK                  Inactive
/// ```
///
/// What concerns the group is said on any of its links: whose a further link
/// will be is for the owner to say, and REQUEST ADD LINK is answered with no.
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
    liveness: Liveness,
    /// When the running second began, and requests of the peer in it.
    second: (Instant, u32),
    /// Requests of the peer that were not taken: there were too many.
    refused: u64,
    /// Until when our ADD LINK may be answered.
    add_until: Option<Instant>,
    actions: VecDeque<LinkAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RkeyRequest {
    Confirm { rkey: Rkey, address: u64, others: Others<2> },
    Delete(Rkey),
}

/// What a link knows of its group.
pub struct Siblings<'a> {
    /// The peer's RMBs.
    pub ledger: &'a mut Ledger,
    /// All links of the group, this one included.
    pub links: &'a [LinkNumber],
}

/// Requests of a peer that are taken on one link in one second; TEST LINK and
/// rkeys of 255 connections, opened and closed all the time, stay far below.
pub const MAX_REQUESTS_A_SECOND: u32 = 2000;

/// Our own rkey requests that can wait.
pub const MAX_RKEY_REQUESTS: usize = 512;

impl Link {
    /// A link whose queue pair is in RTR (client) or RTS (server). `own` is this
    /// end of it; a client adopts the server's number.
    #[must_use]
    pub fn first(role: Role, own: ConfirmLink, timers: Timers, now: Instant) -> Self {
        let (at, until) = match role {
            Role::Server => {
                let at = now + timers.confirm_link_delay;
                (Some(at), at + timers.confirm_link_response)
            }
            Role::Client => (None, now + timers.confirm_link_request),
        };
        Self::new(role, own, timers, now, at, until)
    }

    /// A further link of a group, whose number both sides know.
    #[must_use]
    pub fn further(role: Role, own: ConfirmLink, timers: Timers, now: Instant) -> Self {
        let at = (role == Role::Server).then_some(now);
        Self::new(role, own, timers, now, at, now + timers.confirm_additional_link)
    }

    const fn new(
        role: Role,
        own: ConfirmLink,
        timers: Timers,
        now: Instant,
        confirm_at: Option<Instant>,
        confirm_until: Instant,
    ) -> Self {
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
            liveness: Liveness::new(now),
            second: (now, 0),
            refused: 0,
            add_until: None,
            actions: VecDeque::new(),
        }
    }

    /// The same, in another version than 2.
    #[must_use]
    pub const fn speaking(mut self, version: Version) -> Self {
        self.version = version;
        self
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

    /// Requests of the peer that were not taken, being more than
    /// [`MAX_REQUESTS_A_SECOND`].
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
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
                let test = self.liveness.poll_at(&self.timers);
                [test, self.rkey_until, self.add_until].into_iter().flatten().min()
            }
        }
    }

    /// A SEND of the peer arrived, of whatever kind: it lives, and may
    /// ask TEST LINK after every few of them as often as it likes.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.liveness.heard(now);
    }

    /// Asks TEST LINK now, without silence before it: the answer
    /// ([`LinkAction::Tested`]) says that the peer has taken every SEND before
    /// it from its receive queue, and posted those receives again. False if a
    /// question is out already, or the link is not active.
    pub fn probe(&mut self, now: Instant) -> bool {
        let asks = self.state == LinkState::Active && self.liveness.probe(now, &self.timers);
        if asks {
            self.say(false, Body::TestLink(TestLink::default()));
        }
        asks
    }

    /// Tells the peer of a new RMB, by its key and address here and on the
    /// other links; [`LinkAction::RkeyConfirmed`] follows. False if
    /// [`MAX_RKEY_REQUESTS`] wait already, or the link is not active.
    pub fn confirm_rkey(&mut self, now: Instant, rkey: Rkey, address: u64, others: Others<2>) -> bool {
        self.request_rkey(now, RkeyRequest::Confirm { rkey, address, others })
    }

    /// Offers the client a further link; [`LinkAction::AddLinkAnswered`]
    /// follows. False if an offer is out already, or the link is not active.
    pub fn offer_add_link(&mut self, now: Instant, offer: AddLink) -> bool {
        let can = self.state == LinkState::Active && self.add_until.is_none();
        if can {
            self.add_until = Some(now + self.timers.response);
            self.say(false, Body::AddLink(offer));
        }
        can
    }

    /// Accepts the server's offer: `answer` is our end of the further link.
    pub fn answer_add_link(&mut self, answer: AddLink) {
        self.say(true, Body::AddLink(answer));
    }

    /// Deletes another link of the group, in words on this one.
    pub fn delete_other(&mut self, link_number: LinkNumber, reason: DeleteReason) {
        let body = DeleteLink { all: false, orderly: true, link_number, reason };
        self.say(false, Body::DeleteLink(body));
    }

    /// Tells the peer that an RMB is no more. What it answers changes nothing.
    pub fn delete_rkey(&mut self, now: Instant, rkey: Rkey) -> bool {
        self.request_rkey(now, RkeyRequest::Delete(rkey))
    }

    /// Ends the group, in words on this link.
    pub fn delete_all(&mut self, reason: DeleteReason, orderly: bool) {
        if self.state != LinkState::Inactive {
            self.say_delete_all(reason, orderly);
            self.end();
        }
    }

    /// Does what is due.
    pub fn run_timers(&mut self, now: Instant) {
        match self.state {
            LinkState::Activating => self.activation_timers(now),
            LinkState::Active => {
                self.rkey_timer(now);
                self.add_timer(now);
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

    fn add_timer(&mut self, now: Instant) {
        if self.add_until.is_some_and(|until| now >= until) {
            self.add_until = None;
            self.actions.push_back(LinkAction::AddLinkAnswered(None));
        }
    }

    fn test_timer(&mut self, now: Instant) {
        match self.liveness.run_timer(now, &self.timers) {
            Due::Nothing => {}
            Due::Ask => self.say(false, Body::TestLink(TestLink::default())),
            Due::Dead => self.down(DownReason::TestLinkTimeout),
        }
    }

    /// A message of the peer.
    pub fn hear(&mut self, now: Instant, message: &Message, siblings: &mut Siblings<'_>) {
        self.liveness.lives(now);
        let is_probe = matches!((&message.body, message.response), (Body::TestLink(_), false))
            && self.liveness.is_earned_test();
        if self.state == LinkState::Inactive || !(message.response || is_probe || !self.is_flood(now)) {
            return;
        }
        match (&message.body, message.response) {
            (Body::ConfirmLink(theirs), response) => self.hear_confirm_link(now, theirs, response),
            (Body::AddLink(offer), false) => self.hear_add_link(offer),
            (Body::AddLink(answer), true) => self.hear_add_link_answer(answer),
            (Body::RequestAddLink(_), false) if self.role == Role::Server => self.refuse_request_add_link(),
            (Body::ConfirmRkey(theirs), false) => self.answer_confirm_rkey(theirs, siblings),
            (Body::ConfirmRkey(answer), true) => self.hear_rkey_answer(now, answer.rkey, !answer.negative),
            (Body::DeleteRkey(theirs), false) => self.answer_delete_rkey(theirs, siblings),
            (Body::DeleteRkey(_), true) => self.hear_delete_rkey_answer(now),
            (Body::TestLink(test), false) => self.say(true, Body::TestLink(*test)),
            (Body::TestLink(_), true) => self.hear_test_link_answer(),
            (Body::DeleteLink(theirs), response) => self.hear_delete_link(theirs, response, siblings),
            // What is unknown, or answers nothing that was asked.
            _ => {}
        }
    }

    fn hear_test_link_answer(&mut self) {
        if self.liveness.answered() {
            self.actions.push_back(LinkAction::Tested);
        }
    }

    /// Whether a request is one too many in this second.
    fn is_flood(&mut self, now: Instant) -> bool {
        let (began, count) = &mut self.second;
        if now.since(*began) >= Duration::from_secs(1) {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        let flood = *count > MAX_REQUESTS_A_SECOND;
        self.refused += u64::from(flood);
        flood
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

    /// From a client it is a wish only, which a server may pass over.
    fn hear_add_link(&mut self, offer: &AddLink) {
        if self.role == Role::Client && self.state == LinkState::Active {
            self.actions.push_back(LinkAction::AddLinkOffered(Box::new(offer.clone())));
        }
    }

    fn hear_add_link_answer(&mut self, answer: &AddLink) {
        if self.add_until.take().is_some() {
            let accepted = (!answer.rejected).then(|| Box::new(answer.clone()));
            self.actions.push_back(LinkAction::AddLinkAnswered(accepted));
        }
    }

    /// Will not have a further link: the first 44 octets of the request come
    /// back, as from Linux 6.12 with one device.
    pub fn reject_add_link(&mut self, offer: &AddLink) {
        let reject_reason = match self.version {
            Version::V1 => RejectReason::NO_ALTERNATE_PATH,
            Version::V2(_) => RejectReason::NONE,
        };
        let answer = AddLink { rejected: true, reject_reason, extension: None, ..offer.clone() };
        self.say(true, Body::AddLink(answer));
    }

    /// Differs from Linux 6.12, whose server starts ADD LINK (tests/gaps.toml).
    fn refuse_request_add_link(&mut self) {
        self.say(true, Body::RequestAddLink(RequestAddLink { gids: Vec::new() }));
    }

    /// All or nothing: keys on links we do not know, or more than fit the
    /// message, are refused, as is what there is no room for.
    fn answer_confirm_rkey(&mut self, theirs: &ConfirmRkey, siblings: &mut Siblings<'_>) {
        let others = theirs.others.here();
        let known = usize::from(theirs.others.count()) == others.len()
            && others.iter().all(|other| siblings.links.contains(&other.link_number));
        let key = LinkRkey { link_number: self.number(), rkey: theirs.rkey, address: theirs.address };
        let taken = known && siblings.ledger.learn(key);
        for other in others.iter().filter(|_| taken) {
            siblings.ledger.learn_other(self.number(), theirs.rkey, *other);
        }
        let answer = ConfirmRkey { negative: !taken, retry: !taken, ..*theirs };
        self.say(true, Body::ConfirmRkey(answer));
    }

    fn answer_delete_rkey(&mut self, theirs: &DeleteRkey, siblings: &mut Siblings<'_>) {
        let mut errors = 0u8;
        for (index, rkey) in theirs.rkeys.iter().enumerate() {
            match (siblings.ledger.forget(self.number(), *rkey), self.version) {
                (true, _) => {}
                (false, Version::V1) => errors |= DeleteRkey::mask_bit(index),
                (false, Version::V2(_)) => errors = errors.saturating_add(1),
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
            Some(RkeyRequest::Confirm { rkey, address, others }) => Body::ConfirmRkey(ConfirmRkey {
                negative: false,
                retry: false,
                rkey: *rkey,
                address: *address,
                others: *others,
            }),
            Some(RkeyRequest::Delete(rkey)) => Body::DeleteRkey(DeleteRkey::request(alloc::vec![*rkey])),
            None => return,
        };
        self.rkey_until = Some(now + self.timers.response);
        self.say(false, body);
    }

    fn say(&mut self, response: bool, body: Body) {
        self.actions.push_back(LinkAction::Send(Message { version: self.version, response, body }));
    }

    /// The link has ended otherwise: what waits for an answer gets none.
    pub fn end(&mut self) {
        self.state = LinkState::Inactive;
        if self.add_until.take().is_some() {
            self.actions.push_back(LinkAction::AddLinkAnswered(None));
        }
        while let Some(request) = self.rkeys.pop_front() {
            if let RkeyRequest::Confirm { rkey, .. } = request {
                self.actions.push_back(LinkAction::RkeyConfirmed(rkey, false));
            }
        }
    }

    fn down(&mut self, reason: DownReason) {
        self.end();
        self.actions.push_back(LinkAction::Down(reason));
    }
}
