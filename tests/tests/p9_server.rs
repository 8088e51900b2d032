//! P9, the server's side: whatever becomes of a login, a connection or the server, callers have their own
//! answers, and the cache is back as soon as the server is.
//!
//! Tokens live for less than 300 s here, so that Azure's own client asks for a new one each time it is asked.
#![allow(missing_docs)]

#[path = "p9_server/in_place.rs"]
mod in_place;
#[path = "p9_server/load.rs"]
mod load;
#[path = "p9_server/logins.rs"]
mod logins;
#[path = "p9_server/outages.rs"]
mod outages;
#[path = "p9_server/refused.rs"]
mod refused;
#[path = "p9_server/site.rs"]
mod site;
#[path = "p9_server/turns.rs"]
mod turns;
#[path = "p9_server/unanswered.rs"]
mod unanswered;
#[path = "p9_server/wrong_replies.rs"]
mod wrong_replies;
