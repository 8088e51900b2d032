//! The step "join", for a call that does not lead: it waits for its turn, but not for ever.
//!
//! The one rule: **of those who wait for a body that does not end, one at a time runs its own beside it**,
//! on behalf of all. Each wait is bounded by tokio's clock; a runtime without timers bounds none.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::alarm::alarm;
use crate::{
    cache::Inner,
    flight::{Lead, Turn, Waiting},
    observe::event::Event,
    site::Site,
    value::answer::Answer,
};

/// A wait as long as this is worth a line in the log, because nothing else shows a body that hangs.
const LONG: Duration = Duration::from_secs(10);

/// Waits for the turn of a call. `leads`: it can lead, so it takes the lead when its patience ends.
///
/// # Cancel safety
///
/// Dropping the future gives the place up; a lead that was on its way goes to another caller.
pub(super) async fn turn(
    site: &'static Site,
    cache: Arc<Inner>,
    mut waiting: Waiting<Answer>,
    leads: bool,
) -> Turn<Answer> {
    if !cache.background.has_timers() {
        return waiting.await.unwrap_or(Turn::Alone);
    }
    let began = Instant::now();
    let mut long = Some(began + LONG);
    let mut bound = began + cache.run_wait;
    loop {
        let until = long.map_or(bound, |long| long.min(bound));
        tokio::select! {
            biased;
            turn = &mut waiting => return turn.unwrap_or(Turn::Alone),
            () = alarm(until) => {}
        }
        let now = Instant::now();
        if long.take_if(|long| *long <= now).is_some() {
            cache.scene(site).tell(&Event::Waiting(LONG));
        }
        if bound <= now {
            if leads && let Some(lead) = waiting.overtake() {
                cache.scene(site).tell(&Event::Overtook);
                return Turn::Lead(lead);
            }
            bound = now + cache.run_wait;
        }
    }
}

/// Waits for another process on behalf of a lead, and lets those who wait for the lead in this one know.
pub(super) async fn for_another(
    lead: &mut Lead<Answer>,
    run_wait: Duration,
    changed: impl Future<Output = ()>,
) {
    let mut changed = pin!(changed);
    lead.waits_for_another();
    loop {
        tokio::select! {
            biased;
            () = &mut changed => return,
            // Twice in each of their waits, so that none of them ends meanwhile.
            () = alarm(Instant::now() + run_wait / 2) => lead.waits_for_another(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::flight::{Flights, Joined};

    const BOUND: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_waits_for_another_process_is_not_overtaken() {
        let (flights, key) = (Arc::new(Flights::new()), Arc::from("k"));
        let Joined::Lead(mut lead) = flights.join(&key) else {
            panic!("somebody else leads");
        };
        let Joined::Wait(mut waiting) = flights.join(&key) else {
            panic!("nobody leads");
        };
        let wait = for_another(&mut lead, BOUND, sleep(BOUND * 20));
        tokio::select! {
            () = wait => {}
            () = async {
                loop {
                    sleep(BOUND).await;
                    assert!(waiting.overtake().is_none());
                }
            } => {}
        }
        // It may not have heard the last of it yet.
        let overtook = waiting.overtake().or_else(|| waiting.overtake());
        assert!(overtook.is_some());
    }
}
