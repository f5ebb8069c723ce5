//! Tests of which job is next, with numbers for jobs.

use super::*;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

mod model;

const HUGE: usize = usize::MAX / 2;

fn capacity(workers: usize) -> Capacity {
    Capacity {
        workers,
        level: HUGE,
        decoders: 2,
        waiting_max: 1_000,
        waiting_per_client_percent_max: 50,
        replaced_max: 64,
    }
}

fn queues(workers: usize) -> Queues<u32> {
    Queues::new(capacity(workers))
}

fn plugin(name: &str) -> Key {
    Key::Plugin(name.into())
}

fn client(number: u8) -> Client {
    Client::new(&"".into(), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))))
}

/// Queues a job for a client. Returns its id.
fn push(queues: &mut Queues<u32>, key: &Key, number: u8, job: u32) -> Result<JobId, Full> {
    let place = Place { key: key.clone(), client: client(number) };
    let mut id = None;
    let pushed = queues.push(place, job, |_, new| id.replace(new).is_none());
    pushed.map(|()| id.unwrap()).map_err(|(back, full)| {
        assert_eq!(back, job);
        full
    })
}

fn end(queues: &mut Queues<u32>, id: JobId) {
    queues.end(id, Spent::Unknown);
}

fn push_many(queues: &mut Queues<u32>, key: &Key, count: u32) {
    (0..count).for_each(|job| drop(push(queues, key, u8::try_from(job % 2).unwrap(), job)));
}

fn take(queues: &mut Queues<u32>) -> Option<(JobId, u32)> {
    assert_eq!(
        queues.is_ready(),
        queues.order.first().is_some_and(|rank| queues.allows(rank.load))
    );
    queues.take().map(|taken| (taken.id.unwrap(), taken.job))
}

/// Takes all that may run.
fn take_all(queues: &mut Queues<u32>) -> Vec<JobId> {
    std::iter::from_fn(|| take(queues)).map(|(id, _)| id).collect()
}

fn key_of(queues: &Queues<u32>, id: JobId) -> Key {
    queues.queues[queues.jobs[id.key()].queue].key.clone()
}

fn running(queues: &Queues<u32>, key: &Key) -> usize {
    queues.by_key.get(key).map_or(0, |index| queues.queues[*index].running)
}

fn with_backlogs(workers: usize, of: &[Key]) -> Queues<u32> {
    let mut queues = queues(workers);
    of.iter().for_each(|key| push_many(&mut queues, key, 800));
    queues
}

fn rules(weight: u16, running_max: usize, waiting_max: usize) -> Rules {
    Rules {
        weight: NonZeroU16::new(weight).unwrap(),
        running_max: NonZeroUsize::new(running_max),
        waiting_max: NonZeroUsize::new(waiting_max),
    }
}

fn names(count: usize) -> Vec<Key> {
    (0..count).map(|number| plugin(&number.to_string())).collect()
}

#[test]
fn a_plugin_alone_has_all_workers_and_another_has_one_at_once() {
    for workers in 1..=100 {
        let (busy, other) = (plugin("busy"), plugin("other"));
        let mut queues = with_backlogs(workers, std::slice::from_ref(&busy));
        assert_eq!(take_all(&mut queues).len(), workers);
        push(&mut queues, &other, 1, 0).unwrap();
        let (id, _) = take(&mut queues).unwrap();
        assert_eq!(key_of(&queues, id), other, "{workers} workers");
    }
}

#[test]
fn several_busy_plugins_share_evenly_and_leave_one_for_another() {
    for workers in 8..=64 {
        for busy in 2..=7 {
            let plugins = names(busy);
            let mut queues = with_backlogs(workers, &plugins);
            take_all(&mut queues);
            let each: Vec<_> = plugins.iter().map(|key| running(&queues, key)).collect();
            let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
            assert!(most - least <= 1 && *least > 0, "{workers} workers: {each:?}");
            push(&mut queues, &plugin("another"), 1, 0).unwrap();
            assert_eq!(take_all(&mut queues).len(), 1, "{workers} workers: {each:?}");
        }
    }
}

#[test]
fn a_late_plugin_gets_its_share_as_jobs_end() {
    let (first, late) = (plugin("first"), plugin("late"));
    let mut queues = with_backlogs(32, std::slice::from_ref(&first));
    let mut taken = take_all(&mut queues);
    push_many(&mut queues, &late, 800);
    for _ in 0..32 {
        end(&mut queues, taken.remove(0));
        taken.extend(take_all(&mut queues));
    }
    let (first, late) = (running(&queues, &first), running(&queues, &late));
    assert!(first.abs_diff(late) <= 1 && first >= 16, "{first} and {late}");
}

#[test]
fn the_servers_own_work_uses_its_reserve_first_and_takes_no_worker_of_plugins() {
    let own = [Key::Server, Key::Passwords];
    for workers in 1..=40 {
        // However many plugins are busy, the reserve is there.
        let mut queues = with_backlogs(workers, &names(50));
        take_all(&mut queues);
        for key in own.iter().cycle().take(2 * RESERVED) {
            push(&mut queues, key, 1, 0).unwrap();
        }
        assert_eq!(take_all(&mut queues).len(), 2 * RESERVED, "{workers}");
        // And its use takes nothing from a plugin.
        let mut queues = self::queues(workers);
        for key in own.iter().cycle().take(2 * RESERVED) {
            push(&mut queues, key, 1, 0).unwrap();
        }
        assert_eq!(take_all(&mut queues).len(), 2 * RESERVED);
        push_many(&mut queues, &plugin("a"), 800);
        assert_eq!(take_all(&mut queues).len(), workers);
    }
}

#[test]
fn a_flood_of_the_servers_own_work_leaves_a_worker_to_plugins() {
    for workers in 1..=40 {
        let mut queues = with_backlogs(workers, &[Key::Server, Key::Passwords]);
        take_all(&mut queues);
        push(&mut queues, &plugin("a"), 1, 0).unwrap();
        let may = take_all(&mut queues).len();
        assert!(may == 1 || workers == 1, "{workers}");
    }
}

#[test]
fn weights_are_shares_of_the_workers() {
    let (one, three) = (plugin("one"), plugin("three"));
    let mut queues = queues(100);
    queues.set_rules(HashMap::from([(three.clone(), rules(3, 0, 0))]));
    push_many(&mut queues, &one, 800);
    push_many(&mut queues, &three, 800);
    let taken = take_all(&mut queues);
    let (few, many) = (running(&queues, &one), running(&queues, &three));
    assert!((3 * few).abs_diff(many) <= 3, "{few} and {many}");
    // One that ends makes room for one of the same queue.
    let id = taken.into_iter().find(|id| key_of(&queues, *id) == three).unwrap();
    end(&mut queues, id);
    let (id, _) = take(&mut queues).unwrap();
    assert_eq!(key_of(&queues, id), three);
}

#[test]
fn the_heaviest_plugin_leaves_workers_too() {
    let (heavy, light) = (plugin("heavy"), plugin("light"));
    let mut queues = queues(10);
    queues.set_rules(HashMap::from([(heavy.clone(), rules(u16::MAX, 0, 0))]));
    push_many(&mut queues, &heavy, 100);
    assert_eq!(take_all(&mut queues).len(), 10);
    push_many(&mut queues, &light, 10);
    assert!(!take_all(&mut queues).is_empty());
}

#[test]
fn new_rules_hold_for_jobs_that_wait_and_for_queues_that_are_entered() {
    let a = plugin("a");
    let limit = |running| HashMap::from([(plugin("a"), rules(1, running, 3))]);
    let mut queues = queues(40);
    queues.set_rules(limit(1));
    push_many(&mut queues, &a, 2);
    assert_eq!(take_all(&mut queues).len(), 1);
    assert!(!queues.is_ready());
    queues.set_rules(limit(2));
    assert_eq!(take_all(&mut queues).len(), 1, "it waited already");
    queues.set_rules(limit(1));
    push(&mut queues, &Key::Documents, 1, 0).unwrap();
    let (document, _) = take(&mut queues).unwrap();
    assert!(!queues.enter(document, &a));
    queues.set_rules(HashMap::new());
    assert!(queues.enter(document, &a), "without a rule there is no limit of its own");
}

#[test]
fn a_full_queue_refuses_nothing_of_another_and_says_why() {
    let (a, b) = (plugin("a"), plugin("b"));
    let mut queues = Queues::new(Capacity { waiting_max: 4, ..capacity(1) });
    queues.set_rules(HashMap::from([(a.clone(), rules(1, 0, 2))]));
    assert!(push(&mut queues, &a, 1, 0).is_ok() && push(&mut queues, &a, 2, 1).is_ok());
    let why = |full: Full| full.to_string();
    assert_eq!(
        push(&mut queues, &a, 3, 2).map_err(why).unwrap_err(),
        "too many calls of plugin a wait for a worker (queue_len_max under [plugin_options.a])"
    );
    assert!((0..4).all(|job| push(&mut queues, &b, job, job.into()).is_ok()));
    assert_eq!(
        push(&mut queues, &b, 9, 2).map_err(why).unwrap_err(),
        "too many calls of plugin b wait for a worker (queue_len_max under [limits])"
    );
}

#[test]
fn one_client_has_half_of_any_queue() {
    let a = plugin("a");
    for (own_max, half) in [(0, 500), (64, 32), (3, 1), (1, 1)] {
        let mut queues = queues(1);
        queues.set_rules(HashMap::from([(a.clone(), rules(1, 0, own_max))]));
        assert!((0..half).all(|job| push(&mut queues, &a, 1, job).is_ok()));
        let full = push(&mut queues, &a, 1, 0).unwrap_err();
        assert_eq!(full == Full::Client(a.clone()), own_max != 1, "{full}");
        assert_eq!(push(&mut queues, &a, 2, 0).is_ok(), own_max != 1);
    }
}

#[test]
fn clients_take_turns() {
    let a = plugin("a");
    let mut queues = queues(1);
    for (client, job) in [(1, 10), (1, 11), (1, 12), (1, 13), (2, 20), (3, 30), (2, 21)] {
        push(&mut queues, &a, client, job).unwrap();
    }
    let next = |queues: &mut Queues<u32>| {
        let (id, job) = take(queues)?;
        end(queues, id);
        Some(job)
    };
    let order: Vec<_> = std::iter::from_fn(|| next(&mut queues)).collect();
    assert_eq!(order, [10, 20, 30, 11, 21, 12, 13]);
    // Turns that a client did not use before do not count.
    for (client, job) in [(1, 14), (1, 15), (4, 40)] {
        push(&mut queues, &a, client, job).unwrap();
    }
    let order: Vec<_> = std::iter::from_fn(|| next(&mut queues)).collect();
    assert_eq!(order, [14, 40, 15]);
}

#[test]
fn jobs_that_resume_are_first_in_their_queue_and_never_refused() {
    let a = plugin("a");
    let mut queues = Queues::new(Capacity { waiting_max: 1, ..capacity(1) });
    push(&mut queues, &a, 1, 1).unwrap();
    for job in [2, 3] {
        let place = Place { key: a.clone(), client: client(1) };
        queues.push_resumed(place, job, |_, _| true);
    }
    assert!(push(&mut queues, &a, 1, 4).is_err());
    for job in [2, 3, 1] {
        let (id, next) = take(&mut queues).unwrap();
        assert_eq!(next, job);
        end(&mut queues, id);
    }
}

#[test]
fn a_running_job_changes_to_a_queue_in_which_it_need_not_wait() {
    let a = plugin("a");
    let mut queues = queues(1);
    push(&mut queues, &Key::Documents, 1, 1).unwrap();
    let (first, _) = take(&mut queues).unwrap();
    assert!(queues.enter(first, &a) && queues.enter(first, &a));
    assert_eq!((running(&queues, &Key::Documents), running(&queues, &a)), (0, 1));
    push(&mut queues, &Key::Documents, 1, 2).unwrap();
    let (second, _) = take(&mut queues).unwrap();
    assert!(!queues.enter(second, &a), "one plugin has one worker");
    assert_eq!((running(&queues, &Key::Documents), running(&queues, &a)), (1, 1));
    end(&mut queues, first);
    push(&mut queues, &a, 1, 3).unwrap();
    assert!(!queues.enter(second, &a), "another one waits there");
    end(&mut queues, second);
    assert_eq!(take(&mut queues).unwrap().1, 3);
}

#[test]
fn documents_are_decoded_by_as_many_workers_as_there_are_processors() {
    let mut queues = with_backlogs(40, &[Key::Documents]);
    assert_eq!(take_all(&mut queues).len(), capacity(40).decoders);
}

#[test]
fn an_abandoned_job_that_waits_holds_no_place() {
    let a = plugin("a");
    let mut queues = Queues::new(Capacity { waiting_max: 2, ..capacity(1) });
    push(&mut queues, &a, 0, 0).unwrap();
    let (running, _) = take(&mut queues).unwrap();
    let waiting = [1, 2].map(|job| push(&mut queues, &a, job, job.into()).unwrap());
    assert!(push(&mut queues, &a, 3, 3).is_err());
    for id in waiting {
        assert_eq!(queues.abandon(id, false), Some(Abandoned::Discarded));
        assert_eq!(queues.abandon(id, false), None, "once");
    }
    assert!(push(&mut queues, &a, 3, 3).is_ok() && push(&mut queues, &a, 4, 4).is_ok());
    // A worker drops them, although the plugin may run no more.
    let dropped: Vec<_> = std::iter::from_fn(|| queues.take()).collect();
    assert!(dropped.iter().all(|taken| taken.id.is_none()) && dropped.len() == 2);
    end(&mut queues, running);
    assert_eq!(take(&mut queues).unwrap().1, 3);
}

#[test]
fn a_stuck_job_counts_in_its_own_queue_alone() {
    let (stuck, other) = (plugin("stuck"), plugin("other"));
    for workers in [1, 4, 32] {
        let mut queues = queues(workers);
        queues.set_rules(HashMap::from([(other.clone(), rules(1, 2, 0))]));
        push_many(&mut queues, &stuck, 800);
        let taken = take_all(&mut queues);
        for (in_all, id) in (1..).zip(&taken) {
            let expected = Abandoned::Stuck { in_all, is_replaced: true };
            assert_eq!(queues.abandon(*id, true), Some(expected));
        }
        // Its share is whole again, and so is the other's.
        let again = take_all(&mut queues);
        assert_eq!(again.len(), workers);
        push_many(&mut queues, &other, 10);
        assert_eq!(take_all(&mut queues).len(), if workers == 1 { 1 } else { 2.min(workers / 4) });
        taken.into_iter().chain(again).for_each(|id| end(&mut queues, id));
        assert_eq!(queues.workers(), super::Queues::<u32>::new(capacity(workers)).workers());
    }
}

#[test]
fn a_plugins_limit_counts_stuck_jobs() {
    let a = plugin("a");
    let mut queues = queues(4);
    queues.set_rules(HashMap::from([(a.clone(), rules(1, 1, 0))]));
    push_many(&mut queues, &a, 2);
    let (id, _) = take(&mut queues).unwrap();
    queues.abandon(id, true);
    assert!(!queues.is_ready());
    end(&mut queues, id);
    assert!(queues.is_ready());
}

#[test]
fn only_so_many_stuck_workers_are_replaced() {
    let mut queues = Queues::new(Capacity { replaced_max: 1, ..capacity(2) });
    push_many(&mut queues, &plugin("a"), 10);
    let taken = take_all(&mut queues);
    let abandoned: Vec<_> = taken.iter().map(|id| queues.abandon(*id, true).unwrap()).collect();
    let stuck = |in_all, is_replaced| Abandoned::Stuck { in_all, is_replaced };
    assert_eq!(abandoned, [stuck(1, true), stuck(2, false)]);
    assert_eq!(take_all(&mut queues).len(), 1);
}

#[test]
fn empty_queues_are_forgotten() {
    let mut queues = queues(1);
    for key in names(1_000) {
        push(&mut queues, &key, 1, 0).unwrap();
        let (id, _) = take(&mut queues).unwrap();
        end(&mut queues, id);
    }
    assert!(queues.queues.len() <= EMPTY_MAX + 1 && queues.by_key.len() == queues.queues.len());
    assert!(queues.jobs.is_empty() && queues.order.is_empty());
}

#[test]
fn beyond_the_level_only_queues_without_a_worker_are_served() {
    let (busy, other) = (plugin("busy"), plugin("other"));
    let mut queues = Queues::new(Capacity { level: 3, ..capacity(40) });
    push_many(&mut queues, &busy, 100);
    assert!(!queues.is_held_back());
    assert_eq!(take_all(&mut queues).len(), 3);
    assert!(queues.is_held_back());
    push_many(&mut queues, &other, 2);
    assert!(!queues.is_held_back());
    let held_back = queues.taken_by_level();
    assert_eq!(take_all(&mut queues).len(), 1);
    assert_eq!(queues.taken_by_level(), held_back, "the level holds no first call back");
    assert!(queues.is_held_back() && running(&queues, &other) == 1);
    queues.raise_level();
    assert!(!queues.is_ready(), "four run");
    queues.raise_level();
    assert_eq!(take_all(&mut queues).len(), 1);
    assert_eq!(running(&queues, &other), 2, "it has fewer");
}
