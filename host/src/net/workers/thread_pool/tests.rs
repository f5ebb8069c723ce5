//! Tests of when threads start, wait and end, with jobs that wait for a word.

use super::*;
use crate::net::workers::queues::Capacity;
use crate::queue::Client;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

mod stress;

type Run = Box<dyn FnOnce(&dyn Turn) + Send>;

/// A job that is called with its turn.
struct Job {
    run: Run,
    id: Arc<AtomicU64>,
}

impl Queued for Job {
    fn is_queued_as(&self, id: JobId) -> bool {
        self.id.store(id.to_bits(), Ordering::Relaxed);
        true
    }
}

const SOON: Duration = Duration::from_secs(20);

fn pool_of(capacity: Capacity) -> Arc<ThreadPool<Job>> {
    ThreadPool::start(Queues::new(capacity), |job: Job, turn| (job.run)(turn)).unwrap()
}

/// One in which a plugin may have so many workers.
fn pool(workers: usize, queue_len_max: usize) -> Arc<ThreadPool<Job>> {
    pool_of(Capacity {
        workers,
        level: 2,
        decoders: 2,
        waiting_max: queue_len_max,
        waiting_per_client_percent_max: 100,
        replaced_max: 64,
    })
}

fn place(plugin: &str) -> Place {
    Place { key: Key::Plugin(plugin.into()), client: Client::new(&"".into(), None) }
}

fn job(run: impl FnOnce() + Send + 'static) -> Job {
    Job { run: Box::new(|_| run()), id: Arc::default() }
}

/// A job that says that it runs and then waits for a word.
fn waiting(began: &Sender<()>, word: &Receiver<()>) -> Job {
    let (began, word) = (began.clone(), word.clone());
    job(move || {
        began.send(()).unwrap();
        word.recv().unwrap();
    })
}

fn idle(pool: &ThreadPool<Job>) -> usize {
    pool.lock().idle
}

fn end(pool: &ThreadPool<Job>) {
    pool.close();
    assert!(pool.join(Instant::now() + SOON));
    assert_eq!(pool.lock().running, 0);
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}

fn running_max(plugin: &str, max: usize) -> HashMap<Key, Rules> {
    let rules = Rules { running_max: NonZeroUsize::new(max), ..Rules::default() };
    HashMap::from([(Key::Plugin(plugin.into()), rules)])
}

#[test]
fn as_many_threads_run_as_jobs_up_to_the_number() {
    let pool = pool(3, 10);
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    for count in 1..=3 {
        assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
        assert_eq!(pool.lock().running, count);
    }
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    assert_eq!(pool.lock().queues.waiting(), 1);
    assert_eq!(pool.lock().running, 3);
    for _ in 0..4 {
        tell.send(()).unwrap();
    }
    begun.recv_timeout(SOON).unwrap();
    wait_until(|| idle(&pool) == 3);
    end(&pool);
}

#[test]
fn an_idle_thread_is_taken_before_another_is_started() {
    let pool = pool(8, 10);
    for _ in 0..1_000 {
        wait_until(|| idle(&pool) == 1 && !pool.lock().is_waking);
        let (done, is_done) = bounded(1);
        assert!(pool.submit(place("p"), job(move || done.send(()).unwrap())).is_ok());
        is_done.recv_timeout(SOON).unwrap();
    }
    assert_eq!(pool.lock().running, 1);
    end(&pool);
}

#[test]
fn no_job_is_lost_and_the_first_is_the_first() {
    let pool = pool(1, 10_000);
    let (send, come) = unbounded();
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    begun.recv_timeout(SOON).unwrap();
    for number in 0..1_000 {
        let send = send.clone();
        assert!(pool.submit(place("p"), job(move || send.send(number).unwrap())).is_ok());
    }
    tell.send(()).unwrap();
    // Those that wait are done also when it is closed meanwhile.
    end(&pool);
    drop(send);
    assert!(come.iter().eq(0..1_000));
}

#[test]
fn all_jobs_of_many_are_done_by_few() {
    let pool = pool(4, 20_000);
    let (send, come) = unbounded();
    thread::scope(|scope| {
        for from in 0..4 {
            let (pool, send) = (&pool, &send);
            scope.spawn(move || {
                for number in 0..5_000 {
                    let send = send.clone();
                    let job = job(move || send.send(from * 5_000 + number).unwrap());
                    assert!(pool.submit(place("p"), job).is_ok());
                }
            });
        }
    });
    let mut done: Vec<i32> = (0..20_000).map(|_| come.recv_timeout(SOON).unwrap()).collect();
    done.sort_unstable();
    assert!(done.into_iter().eq(0..20_000));
    assert!(pool.lock().running <= 4);
    end(&pool);
}

#[test]
fn a_job_that_finds_its_queue_full_is_given_back() {
    let pool = pool(1, 2);
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    begun.recv_timeout(SOON).unwrap();
    assert!(pool.submit(place("p"), job(|| ())).is_ok());
    assert!(pool.submit(place("p"), job(|| ())).is_ok());
    assert!(pool.submit(place("p"), job(|| ())).is_err());
    tell.send(()).unwrap();
    wait_until(|| pool.lock().queues.waiting() == 0);
    assert!(pool.submit(place("p"), job(|| ())).is_ok());
    end(&pool);
}

#[test]
fn an_end_wakes_the_job_that_it_makes_room_for() {
    let pool = pool(8, 10);
    pool.set_rules(running_max("p", 1));
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    let ((began_q, begun_q), (tell_q, word_q)) = (unbounded(), unbounded());
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    begun.recv_timeout(SOON).unwrap();
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    assert!(pool.submit(place("q"), waiting(&began_q, &word_q)).is_ok());
    begun_q.recv_timeout(SOON).unwrap();
    assert!(begun.is_empty());
    tell.send(()).unwrap();
    begun.recv_timeout(SOON).unwrap();
    (0..2).for_each(|_| tell.send(()).unwrap());
    tell_q.send(()).unwrap();
    end(&pool);
}

#[test]
fn a_change_of_rules_wakes_jobs_that_wait() {
    let pool = pool(8, 10);
    pool.set_rules(running_max("p", 1));
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    for _ in 0..4 {
        assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    }
    begun.recv_timeout(SOON).unwrap();
    assert!(begun.is_empty());
    pool.set_rules(running_max("p", 4));
    (0..3).for_each(|_| begun.recv_timeout(SOON).unwrap());
    (0..4).for_each(|_| tell.send(()).unwrap());
    end(&pool);
}

#[test]
fn jobs_that_an_end_leaves_held_back_get_a_monitor() {
    let pool = pool(8, 20);
    pool.set_rules(running_max("p", 2));
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    let (other, other_word) = unbounded();
    for (plugin, word) in [("p", &word), ("p", &word), ("q", &other_word)] {
        assert!(pool.submit(place(plugin), waiting(&began, word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
    }
    // Its own limit stops it. After an end, only the level does, and processors are free.
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    assert!(!pool.lock().queues.is_held_back());
    tell.send(()).unwrap();
    begun.recv_timeout(SOON).unwrap();
    (0..2).for_each(|_| tell.send(()).unwrap());
    other.send(()).unwrap();
    end(&pool);
}

#[test]
fn a_resumed_job_is_taken_first_and_never_refused() {
    let pool = pool(1, 1);
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    let (send, come) = unbounded();
    let says = |number: i32| {
        let send = send.clone();
        job(move || send.send(number).unwrap())
    };
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    begun.recv_timeout(SOON).unwrap();
    assert!(pool.submit(place("p"), says(1)).is_ok() && pool.submit(place("p"), says(2)).is_err());
    pool.resume(place("p"), says(3));
    pool.resume(place("p"), says(4));
    tell.send(()).unwrap();
    assert!([3, 4, 1].into_iter().all(|number| come.recv_timeout(SOON) == Ok(number)));
    end(&pool);
}

#[test]
fn another_thread_runs_while_one_is_stuck_and_ends_after_it() {
    let pool = pool(1, 10);
    pool.set_rules(running_max("p", 1));
    let ((began, begun), (tell, word)) = (unbounded(), unbounded());
    let (free, is_free) = unbounded();
    let stuck = waiting(&began, &is_free);
    let id = Arc::clone(&stuck.id);
    assert!(pool.submit(place("p"), stuck).is_ok());
    begun.recv_timeout(SOON).unwrap();
    let abandoned = pool.abandon(|| (JobId::from_bits(id.load(Ordering::Relaxed)), true));
    assert_eq!(abandoned, Some(Abandoned::Stuck { in_all: 1, is_replaced: true }));
    // As many threads as there may be.
    let plugins = ["q", "r"].map(|name| Key::Plugin(name.into()));
    let own = [Key::Server, Key::Server, Key::Passwords, Key::Passwords];
    for key in own.into_iter().chain(plugins) {
        assert!(pool.submit(Place { key, ..place("") }, waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
    }
    let workers = pool.lock().queues.workers();
    assert_eq!(pool.lock().running, workers);
    (0..workers - 1).for_each(|_| tell.send(()).unwrap());
    wait_until(|| idle(&pool) == workers - 1);
    // Its limit stops it until the stuck one ends, whose thread ends too.
    assert!(pool.submit(place("p"), waiting(&began, &word)).is_ok());
    assert!(begun.is_empty());
    free.send(()).unwrap();
    begun.recv_timeout(SOON).unwrap();
    wait_until(|| pool.lock().running == workers - 1);
    tell.send(()).unwrap();
    end(&pool);
}
