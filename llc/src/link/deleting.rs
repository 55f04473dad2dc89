//! DELETE LINK, for one link or the whole group.

use smolsmc_wire::LinkNumber;

use super::{Link, LinkAction, Role, Siblings};
use crate::{Body, DeleteLink, DeleteReason};

impl Link {
    /// RFC 7609 §4.5.3: the server's request counts, a client's asks for one.
    pub(super) fn hear_delete_link(&mut self, theirs: &DeleteLink, response: bool, siblings: &Siblings<'_>) {
        if response {
            return;
        }
        let DeleteLink { link_number, reason, .. } = *theirs;
        let known = siblings.links.contains(&link_number);
        match (self.role, theirs.all) {
            // Each side says it too, and Linux waits for the words to be heard.
            (Role::Client, true) => self.say_delete_all(DeleteReason::PROGRAM_INITIATED, false),
            (Role::Server, true) => self.say_delete_all(reason, true),
            (Role::Client, false) => {
                let reason = if known { DeleteReason::NONE } else { DeleteReason::UNKNOWN_LINK };
                self.say(true, Body::DeleteLink(DeleteLink { reason, ..*theirs }));
            }
            (Role::Server, false) if known => self.say(false, Body::DeleteLink(*theirs)),
            (Role::Server, false) => {}
        }
        if theirs.all {
            self.end();
            self.actions.push_back(LinkAction::GroupDeleted(reason));
        } else if known {
            self.actions.push_back(LinkAction::LinkDeleted(link_number, reason));
        }
    }

    pub(super) fn say_delete_all(&mut self, reason: DeleteReason, orderly: bool) {
        let body = DeleteLink { all: true, orderly, link_number: LinkNumber(0), reason };
        self.say(false, Body::DeleteLink(body));
    }
}
