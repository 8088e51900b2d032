//! A client gets its replies in the order of its commands, whatever the order in which they went on.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fault::{CutState, Hold};
use super::sessions::{self, Answer, Verdict};

/// How replies pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Flow {
    /// One by one, each in its command's slot.
    #[default]
    Slots,
    /// As they come: it is not Redis' protocol, or a command has ended the rule of one reply each.
    Raw,
}

#[derive(Default)]
pub(super) struct Replies {
    pub(super) flow: Flow,
    pub(super) server_is_gone: bool,
    /// `SUBSCRIBE` is confirmed by pushes, and replies go on one by one.
    has_resp3: bool,
    /// In the client's order.
    slots: VecDeque<Slot>,
    /// The slots of the commands that went on, in that order.
    under_way: VecDeque<u64>,
    last_filled: Option<u64>,
    /// Bytes that belong to no slot; they go before the slots.
    loose: VecDeque<Vec<u8>>,
    count: u64,
}

struct Slot {
    id: u64,
    /// In capitals.
    name: Vec<u8>,
    /// The login that it is, if it is one.
    login: Option<u64>,
    args: Vec<Vec<u8>>,
    reply: Option<Vec<u8>>,
    hold: Option<Arc<Hold>>,
    cut: Option<Arc<CutState>>,
}

/// What a reply that has come is good for.
#[derive(Default)]
pub(super) struct Filled {
    /// It is to be held.
    pub(super) held: Option<(Arc<Hold>, Vec<Vec<u8>>)>,
    pub(super) verdict: Option<Verdict>,
}

impl Replies {
    /// Makes a slot for a command.
    pub(super) fn open(
        &mut self,
        args: &[Vec<u8>],
        login: Option<u64>,
        hold: Option<Arc<Hold>>,
        cut: Option<Arc<CutState>>,
    ) -> u64 {
        self.count += 1;
        let name = args.first().map(|name| name.to_ascii_uppercase());
        let name = name.unwrap_or_default();
        if ends_one_reply_each(&name, args, self.has_resp3) {
            self.flow = Flow::Raw;
        }
        if self.flow == Flow::Slots {
            let args = if hold.is_some() {
                args.to_vec()
            } else {
                Vec::new()
            };
            self.slots.push_back(Slot {
                id: self.count,
                name,
                login,
                args,
                reply: None,
                hold,
                cut,
            });
        }
        self.count
    }

    /// The command went on to the server.
    pub(super) fn sent(&mut self, slot: u64) {
        if self.slot(slot).is_some() {
            self.under_way.push_back(slot);
        }
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        // Slots are opened with consecutive numbers and leave from the front.
        let at = id.checked_sub(self.slots.front()?.id)?;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }

    /// Whether bytes from the server pass unread: slots that were there before come first.
    pub(super) fn is_raw(&self) -> bool {
        self.flow == Flow::Raw && self.slots.is_empty()
    }

    /// Whether the next reply from the server is to this command, given in capitals.
    pub(super) fn next_is_to(&mut self, name: &[u8]) -> bool {
        let next = self.under_way.front().copied();
        next.and_then(|id| self.slot(id))
            .is_some_and(|slot| slot.name == name)
    }

    /// Puts a reply into its slot.
    pub(super) fn fill(&mut self, bytes: Vec<u8>) -> Filled {
        let next = self.under_way.front().copied();
        let next = next.and_then(|id| self.slot(id));
        if bytes.first() == Some(&b'>') && !next.is_some_and(|slot| slot.is_confirmed_by(&bytes)) {
            // A push belongs behind the reply that came before it.
            match self.last_filled.and_then(|id| self.slot(id)) {
                Some(slot) => slot.reply.get_or_insert_default().extend(bytes),
                None => self.loose.push_back(bytes),
            }
            return Filled::default();
        }
        let filled = self.under_way.pop_front();
        let Some(slot) = filled.and_then(|id| self.slot(id)) else {
            // Nobody asked: an error before the server closes, for example.
            self.loose.push_back(bytes);
            return Filled::default();
        };
        let verdict = slot.verdict(&bytes);
        let greeted =
            (slot.name == b"HELLO" && !bytes.starts_with(b"-")).then(|| bytes.starts_with(b"%"));
        slot.reply = Some(bytes);
        let held = slot
            .hold
            .clone()
            .map(|hold| (hold, std::mem::take(&mut slot.args)));
        self.last_filled = filled;
        self.has_resp3 = greeted.unwrap_or(self.has_resp3);
        Filled { held, verdict }
    }

    /// How many commands wait for their reply.
    pub(super) fn unanswered(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn push_raw(&mut self, bytes: Vec<u8>) {
        self.loose.push_back(bytes);
    }

    /// The reply is held no more.
    pub(super) fn release(&mut self, hold: &Arc<Hold>) {
        for slot in &mut self.slots {
            if slot
                .hold
                .as_ref()
                .is_some_and(|held| Arc::ptr_eq(held, hold))
            {
                slot.hold = None;
            }
        }
    }

    /// What the client gets next, if it is there and not held.
    pub(super) fn next(&mut self) -> Option<(Vec<u8>, Option<Arc<CutState>>)> {
        if let Some(bytes) = self.loose.pop_front() {
            return Some((bytes, None));
        }
        let front = self.slots.front()?;
        if front.reply.is_none() || front.hold.is_some() {
            return None;
        }
        let slot = self.slots.pop_front()?;
        Some((slot.reply?, slot.cut))
    }

    /// Whether nothing can come any more.
    pub(super) fn has_ended(&self) -> bool {
        // What is filled but held will still come; what is not filled will not.
        self.server_is_gone && self.slots.front().is_none_or(|slot| slot.reply.is_none())
    }
}

impl Slot {
    /// Whether a push is what the command gets instead of a reply.
    fn is_confirmed_by(&self, push: &[u8]) -> bool {
        // `>3`, `$9`, `subscribe`, …: RESP3 has no other reply to these commands but an error.
        let mut lines = push.split(|byte| *byte == b'\n').skip(2);
        self.name.ends_with(SUBSCRIBE)
            && lines
                .next()
                .is_some_and(|kind| kind.trim_ascii_end().eq_ignore_ascii_case(&self.name))
    }

    fn verdict(&self, reply: &[u8]) -> Option<Verdict> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let error = reply.strip_prefix(b"-");
        if let Some(id) = self.login {
            let is_good = reply == b"+OK\r\n"
                || (self.name == b"HELLO" && matches!(reply.first(), Some(b'%' | b'*')));
            return Some(Verdict::Login(
                id,
                match error {
                    Some(_) => Answer::Refused,
                    None if is_good => Answer::Accepted,
                    None => Answer::Strange,
                },
            ));
        }
        let failure = error.filter(|_| !sessions::is_greeting(&self.name));
        failure.map(|line| Verdict::Failure {
            command: text(&self.name),
            error: text(line),
        })
    }
}

const SUBSCRIBE: &[u8] = b"SUBSCRIBE";

/// Whether replies and commands do not match one to one after this command.
fn ends_one_reply_each(name: &[u8], args: &[Vec<u8>], has_resp3: bool) -> bool {
    name == b"MONITOR"
        || (name == b"CLIENT"
            && args
                .get(1)
                .is_some_and(|a| a.eq_ignore_ascii_case(b"REPLY")))
        || (name.ends_with(SUBSCRIBE) && !has_resp3)
}
