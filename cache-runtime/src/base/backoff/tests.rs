use super::*;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(1);

fn backoff() -> Backoff {
    Backoff::new(Pauses::new(FIRST, LONGEST), Instant::now())
}

/// Tries without a pause of its own for 5 s; how often it was let.
fn attempts(mut attempt: impl FnMut(&mut Backoff, Instant), draw: f64) -> usize {
    let mut backoff = backoff();
    let start = Instant::now();
    let mut made = 0;
    for moment in 0..5000 {
        let now = start + MOMENT * moment;
        if backoff.begin(now, draw).is_ok() {
            made += 1;
            attempt(&mut backoff, now);
        }
    }
    made
}

#[test]
fn pauses_double_up_to_the_longest_and_lose_up_to_half() {
    let mut pauses = Pauses::new(FIRST, LONGEST);
    let whole: Vec<_> = (0..8).map(|_| pauses.next(0.0).as_millis()).collect();
    assert_eq!(whole, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    assert_eq!(pauses.next(1.0), LONGEST / 2);
    pauses.restart();
    assert_eq!(pauses.next(0.5), FIRST.mul_f64(0.75));
}

#[test]
fn ten_attempts_in_five_seconds_are_the_most_whatever_is_drawn() {
    for draw in [0.0, 0.5, 1.0] {
        let refused = attempts(|backoff, now| backoff.failed(now, draw), draw);
        // Something comes of each, and is lost before it was of use.
        let cut = |backoff: &mut Backoff, now| {
            backoff.open();
            backoff.failed(now, draw);
        };
        let cut = attempts(cut, draw);
        for made in [refused, cut] {
            assert!((6..=10).contains(&made), "{made} attempts, draw {draw}");
        }
    }
}

#[test]
fn what_was_of_use_is_replaced_at_once_each_time() {
    let worked = |backoff: &mut Backoff, now| {
        backoff.open();
        backoff.worked(now);
    };
    assert_eq!(attempts(worked, 0.0), 5000);
}

#[test]
fn those_who_failed_together_count_once() {
    let mut backoff = backoff();
    let now = Instant::now();
    for _ in 0..64 {
        assert_eq!(backoff.begin(now, 0.0), Ok(()));
    }
    for _ in 0..64 {
        backoff.failed(now, 0.0);
    }
    assert_eq!(backoff.begin(now, 0.0), Err(now + FIRST));
}

#[test]
fn after_a_failure_one_tries_and_the_others_wait_for_what_comes_of_it() {
    let mut backoff = backoff();
    let now = Instant::now();
    backoff.failed(now, 0.0);
    let now = now + FIRST;
    assert_eq!(backoff.begin(now, 0.0), Ok(()));
    assert_eq!(backoff.begin(now, 0.0), Err(now + FIRST));
    backoff.open();
    assert_eq!(backoff.begin(now, 0.0), Ok(()));
    assert_eq!(backoff.begin(now, 0.0), Ok(()));
}

#[test]
fn one_that_never_says_what_came_of_it_holds_up_nobody_for_long() {
    let mut backoff = backoff();
    let now = Instant::now();
    backoff.failed(now, 0.0);
    assert_eq!(backoff.begin(now + FIRST, 0.0), Ok(()));
    assert_eq!(backoff.begin(now + FIRST * 3, 0.0), Ok(()));
}

#[test]
fn what_worked_before_does_not_hide_what_fails_now() {
    let mut backoff = backoff();
    let now = Instant::now();
    backoff.failed(now, 0.0);
    backoff.worked(now);
    assert_eq!(backoff.begin(now, 0.0), Err(now + FIRST));
}

#[test]
fn a_failure_of_long_ago_is_forgotten() {
    let mut backoff = backoff();
    let mut now = Instant::now();
    for _ in 0..6 {
        backoff.failed(now, 0.0);
        now += LONGEST;
        backoff.begin(now, 0.0).unwrap();
    }
    now += FORGOTTEN;
    backoff.begin(now, 0.0).unwrap();
    backoff.failed(now, 0.0);
    assert_eq!(backoff.begin(now, 0.0), Err(now + FIRST));
}

#[test]
fn whoever_waits_twice_as_long_as_an_outage_outlives_it() {
    let draws = [0.0, 0.5, 1.0];
    // Whole, three quarters and half of each of the first five pauses, in every combination.
    for each in 0..3_usize.pow(5) {
        let mut backoff = backoff();
        let start = Instant::now();
        let mut last = start;
        backoff.failed(start, draws[each % 3]);
        for place in 1..=4 {
            let Err(next) = backoff.begin(last, 0.0) else {
                panic!("there is a pause");
            };
            let lasted = (last - start).max(FIRST);
            assert!(next - last <= lasted, "{:?} at {lasted:?}", next - last);
            let draw = draws[each / 3_usize.pow(place) % 3];
            assert_eq!(backoff.begin(next, draw), Ok(()));
            backoff.failed(next, draw);
            last = next;
        }
    }
}
