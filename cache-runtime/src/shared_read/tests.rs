use std::{future::Future, pin::pin, task::Poll};

use super::*;

type Reads = Arc<SharedReads<u64>>;

fn reads() -> (Reads, Arc<str>) {
    (
        Arc::new(SharedReads::new(Duration::from_secs(60))),
        "users:42".into(),
    )
}

fn run(reads: &Reads, key: &Arc<str>) -> Runner<u64> {
    match reads.arrive(key) {
        Arrival::Run(runner) => runner,
        Arrival::Wait(_) => panic!("two reads are under way"),
    }
}

fn wait(reads: &Reads, key: &Arc<str>) -> oneshot::Receiver<Turn<u64>> {
    match reads.arrive(key) {
        Arrival::Wait(turn) => turn,
        Arrival::Run(_) => panic!("fewer than two reads are under way"),
    }
}

#[derive(Debug)]
enum Told {
    Nothing,
    Reply(u64),
    Run(Runner<u64>),
}

fn told(turn: &mut oneshot::Receiver<Turn<u64>>) -> Told {
    let waker = std::task::Waker::noop();
    match pin!(turn).poll(&mut std::task::Context::from_waker(waker)) {
        Poll::Pending => Told::Nothing,
        Poll::Ready(Ok(Turn::Reply(reply))) => Told::Reply(reply),
        Poll::Ready(Ok(Turn::Run(runner))) => Told::Run(runner),
        Poll::Ready(Err(_)) => panic!("a waiter was forgotten"),
    }
}

fn told_to_run(turn: &mut oneshot::Receiver<Turn<u64>>) -> Runner<u64> {
    match told(turn) {
        Told::Run(runner) => runner,
        other => panic!("not told to run, but {other:?}"),
    }
}

#[test]
fn at_most_two_reads_of_a_key_are_under_way() {
    let (reads, key) = reads();
    let _one = run(&reads, &key);
    let _two = run(&reads, &key);
    let mut third = wait(&reads, &key);
    assert!(matches!(told(&mut third), Told::Nothing));
    let _other_key = run(&reads, &"users:43".into());
    assert_eq!(reads.queues.len(), 2);
}

#[test]
fn reads_that_nobody_polls_hold_up_those_only_who_wait_for_them() {
    let reads = Arc::new(SharedReads::<u64>::new(Duration::ZERO));
    let key: Arc<str> = "users:42".into();
    let abandoned = [run(&reads, &key), run(&reads, &key)];
    // Later than the patience: somebody else reads.
    run(&reads, &key).reply(&3);
    drop(abandoned);
    assert_eq!(reads.queues.len(), 0);
}

#[test]
fn a_read_that_follows_another_is_not_taken_for_one_that_takes_too_long() {
    let (reads, key) = reads();
    let [one, _two] = [run(&reads, &key), run(&reads, &key)];
    let [mut there, mut then] = [wait(&reads, &key), wait(&reads, &key)];
    let since = || reads.queues.lock(&key)[&key].since;
    let replied = Instant::now();
    one.reply(&1);
    assert!(since() >= replied, "the next batch is read now");
    let heir = told_to_run(&mut then);
    let given_up = Instant::now();
    drop(heir);
    assert!(since() >= given_up, "and now again");
    told_to_run(&mut there).reply(&2);
}

#[test]
fn a_reply_does_not_go_to_those_who_came_after_its_read_was_sent() {
    let (reads, key) = reads();
    let one = run(&reads, &key);
    let two = run(&reads, &key);
    let mut turns = [wait(&reads, &key), wait(&reads, &key), wait(&reads, &key)];
    one.reply(&1);
    // One of the three sends the read for all of them.
    let mut runners = vec![];
    let mut waiting = vec![];
    for turn in &mut turns {
        match told(turn) {
            Told::Run(runner) => runners.push(runner),
            Told::Nothing => waiting.push(turn),
            Told::Reply(reply) => panic!("{reply} is older than its caller"),
        }
    }
    assert_eq!((runners.len(), waiting.len()), (1, 2));
    // This one comes after that read was sent.
    let mut newcomer = wait(&reads, &key);
    runners.remove(0).reply(&2);
    for turn in waiting {
        assert!(matches!(told(turn), Told::Reply(2)));
    }
    told_to_run(&mut newcomer).reply(&3);
    drop(two);
    assert_eq!(reads.queues.len(), 0);
}

#[test]
fn p6_a_dropped_runner_hands_its_batch_to_a_member_that_is_still_there() {
    let (reads, key) = reads();
    let one = run(&reads, &key);
    let two = run(&reads, &key);
    let mut there = wait(&reads, &key);
    let gone = wait(&reads, &key);
    drop(gone);
    drop(one);
    drop(two);
    told_to_run(&mut there).reply(&1);
    assert_eq!(reads.queues.len(), 0);
}

#[test]
fn p6_a_caller_that_goes_away_with_the_batch_in_its_hands_passes_it_on() {
    let (reads, key) = reads();
    let one = run(&reads, &key);
    let two = run(&reads, &key);
    let mut first = wait(&reads, &key);
    let second = wait(&reads, &key);
    drop(one);
    drop(second); // it was asked to run, and never looked
    told_to_run(&mut first).reply(&1);
    drop(two);
    assert_eq!(reads.queues.len(), 0);
}

#[test]
fn p11_callers_that_went_away_leave_no_seats() {
    let (reads, key) = reads();
    let _one = run(&reads, &key);
    let _two = run(&reads, &key);
    for _ in 0..1_000_000 {
        drop(wait(&reads, &key));
    }
    let seats = reads.queues.lock(&key)[&key].next.capacity();
    assert!(seats <= 8, "{seats} seats");
}

#[test]
fn p6_no_order_of_drops_forgets_a_caller() {
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (reads, key) = reads();
        let mut runners = vec![];
        let mut waiters = vec![];
        for _ in 0..40 {
            match random.u8(0..7) {
                0..3 => match reads.arrive(&key) {
                    Arrival::Run(runner) => runners.push(runner),
                    Arrival::Wait(turn) => waiters.push(turn),
                },
                3 if !waiters.is_empty() => {
                    drop(waiters.swap_remove(random.usize(..waiters.len())));
                }
                4 if !waiters.is_empty() => {
                    let at = random.usize(..waiters.len());
                    match told(&mut waiters[at]) {
                        Told::Nothing => {}
                        Told::Reply(_) => drop(waiters.swap_remove(at)),
                        Told::Run(runner) => {
                            runners.push(runner);
                            drop(waiters.swap_remove(at));
                        }
                    }
                }
                _ if !runners.is_empty() => {
                    let runner = runners.swap_remove(random.usize(..runners.len()));
                    if random.bool() {
                        runner.reply(&1);
                    }
                }
                _ => {}
            }
            assert!(runners.len() <= usize::from(UNDER_WAY), "seed {seed}");
        }
        runners.clear();
        while !waiters.is_empty() {
            let before = waiters.len();
            waiters.retain_mut(|turn| matches!(told(turn), Told::Nothing));
            assert!(
                waiters.len() < before,
                "seed {seed}: {before} wait for nobody"
            );
        }
        assert_eq!(reads.queues.len(), 0, "seed {seed}");
    }
}
