//! What happened, in words.
//!
//! The one rule: **a line says who did what to whom, by names that stay the same from line to line.**

use crate::{
    model::{Action, Fault},
    redis::{Answer, Changes, Command, First},
    setup::Setup,
    world::{Place, World, WriterStep},
};

/// One step of a path: a line.
pub(crate) fn line(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    let process = |p: usize| format!("process {}", before.processes[p].name + 1);
    match action {
        Action::Arrive(p) | Action::ArriveLeading(p) => {
            let name = setup.callers - before.callers_to_come + 1;
            let needs = changes(before.confirmed);
            let leads = match action {
                Action::ArriveLeading(_) => " and leads at once",
                _ => "",
            };
            let process = process(p);
            format!("caller {name} comes to {process}{leads}; confirmed: {needs}")
        }
        Action::BeginChange(p) => {
            let change = before.changes_begun;
            let kind = setup.changes[usize::from(change)];
            format!(
                "change {}, {kind:?}, is called in {}",
                change + 1,
                process(p)
            )
        }
        Action::Execute(place) => {
            let call = before.call(place);
            let command = call.map(|call| words(&call.command)).unwrap_or_default();
            let answer = match after.call(place).and_then(|call| call.answer.as_ref()) {
                Some(answer) => reply(answer),
                None => "a part of it".to_owned(),
            };
            format!("executed for {}: {command}: {answer}", who(before, place))
        }
        Action::Answer(place) => format!("{} has the answer", who(before, place)),
        Action::ExecuteLate(i) => format!("executed late: {}", words(&before.late[i])),
        Action::GoOn(p, f) => format!("{} goes on", who(before, Place::Flight(p, f))),
        Action::BodyDone(p, f) => {
            format!("the body of {} is done", who(before, Place::Flight(p, f)))
        }
        Action::FutureDone(p, w) => {
            let who = who(before, Place::Writer(p, w));
            format!("the future of {who} has changed the source")
        }
        Action::Wake(p, f) => format!("{} asks again", who(before, Place::Flight(p, f))),
        Action::LosePatience(p, f) => {
            format!("{} waits no longer", who(before, Place::Flight(p, f)))
        }
        Action::AnswerOld(p, f, w) => {
            let caller = &before.processes[p].flights[f].waiters[w].caller;
            format!("caller {} answers an old value", caller.name + 1)
        }
        Action::LockExpires => "the lock, which nobody renews, expires".to_owned(),
        Action::Fault(fault) => match fault {
            Fault::TimeOut(place) => format!("{} gives up its command", who(before, place)),
            Fault::SendAgain(place) => format!("{} sends its command again", who(before, place)),
            Fault::Drop(place) => format!("{} is dropped", who(before, place)),
            Fault::BodyFails(p, f) => {
                format!("the body of {} fails", who(before, Place::Flight(p, f)))
            }
            Fault::NoRoom(place) => format!("no room for the value of {}", who(before, place)),
            Fault::Kill(p) => format!("{} is killed", process(p)),
            Fault::TokenExpires => "the token expires".to_owned(),
            Fault::LockExpires => "the lock expires, though its holder lives".to_owned(),
            Fault::ValueAges => "the value passes its ttl".to_owned(),
            Fault::ValueExpires => "the value expires".to_owned(),
        },
    }
}

fn who(world: &World, place: Place) -> String {
    match place {
        Place::Read(p, r) => format!("caller {}", world.processes[p].reads[r].callers[0].name + 1),
        Place::Flight(p, f) => match &world.processes[p].flights[f].lead {
            Some(lead) => format!("caller {}", lead.name + 1),
            None => format!("a run behind in process {}", world.processes[p].name + 1),
        },
        Place::Writer(p, w) => {
            let writer = &world.processes[p].changes[w];
            let step = match writer.step {
                WriterStep::Seize { .. } => " (first step)",
                WriterStep::Future { .. } | WriterStep::Last(_) => "",
            };
            format!("change {}{step}", writer.change + 1)
        }
    }
}

fn words(command: &Command) -> String {
    match *command {
        Command::Get => "GET".to_owned(),
        Command::Acquire { nonce, wish } => {
            let with = if wish.is_some() {
                ", with the lock"
            } else {
                ""
            };
            format!("ACQUIRE, nonce {}{with}", nonce.0)
        }
        Command::Take { nonce, first } => match first {
            None => format!("ACQUIRE's first command, nonce {}", nonce.0),
            Some(First::Token { nonce, .. }) => {
                format!("ACQUIRE's second, GET; the first: token {}", nonce.0)
            }
            Some(First::Look(_)) => format!("ACQUIRE's second, SET, nonce {}", nonce.0),
        },
        Command::Store { token, knows, .. } => {
            format!("STORE a value of {}, token {}", changes(knows), token.0)
        }
        Command::Release { token, .. } => format!("RELEASE, token {}", token.0),
        Command::Seize { nonce } => format!("SET token {}", nonce.0),
        Command::Put { token, knows } => {
            format!("PUT a value of {}, token {}", changes(knows), token.0)
        }
        Command::Set { knows } => format!("SET a value of {}", changes(knows)),
        Command::Invalidate { .. } => "INVALIDATE".to_owned(),
    }
}

fn reply(answer: &Answer) -> String {
    match *answer {
        Answer::Nothing => "nothing".to_owned(),
        Answer::Value(value) => {
            let age = if value.old { "an old" } else { "a" };
            format!("{age} value of {}", changes(value.knows))
        }
        Answer::Token { nonce, locked, .. } => {
            let lock = if locked { ", and the lock" } else { "" };
            format!("token {}{lock}", nonce.0)
        }
        Answer::Locked(_) => "the lock is held".to_owned(),
        Answer::Stood(true) => "it stood".to_owned(),
        Answer::Stood(false) => "it did not stand".to_owned(),
        Answer::Done => "ok".to_owned(),
    }
}

/// The changes that somebody knows of.
fn changes(changes: Changes) -> String {
    let names: Vec<_> = (0..8_u8)
        .filter(|change| changes.contains(Changes::default().with(*change)))
        .map(|change| format!("change {}", change + 1))
        .collect();
    if names.is_empty() {
        "no change".to_owned()
    } else {
        names.join(" and ")
    }
}
