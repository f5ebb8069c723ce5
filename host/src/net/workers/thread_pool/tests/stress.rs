//! Many random jobs at once: each runs once or is refused, and no wake-up is lost.

use super::*;

const JOBS_EACH: u64 = 2_000;
const HOPS_MAX: u32 = 4;

/// What became of all jobs.
#[derive(Default)]
struct Tally {
    submitted: AtomicUsize,
    ended: AtomicUsize,
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

fn index(random: u64, len: u64) -> usize {
    usize::try_from(random % len).unwrap()
}

fn key(random: u64) -> Key {
    match random % 12 {
        0 => Key::Server,
        1 => Key::Passwords,
        2 => Key::Documents,
        3 => Key::Batches,
        number => Key::Plugin(["a", "b", "c", "d"][index(number, 4)].into()),
    }
}

fn place_of(random: u64) -> Place {
    let name = ["x", "y", ""][index(random >> 40, 3)];
    Place { key: key(random >> 8), client: Client::new(&name.into(), None) }
}

/// A job that now and then changes its queue, waits for another turn, or gets stuck.
fn random_job(pool: &Arc<ThreadPool<Job>>, tally: &Arc<Tally>, seed: u64, hops: u32) -> Job {
    let (pool, tally) = (Arc::downgrade(pool), Arc::clone(tally));
    let id = Arc::new(AtomicU64::new(0));
    let own = Arc::clone(&id);
    let run = move |turn: &dyn Turn| {
        let Some(pool) = pool.upgrade() else { return };
        let mut random = seed;
        let place = place_of(next(&mut random));
        if random.is_multiple_of(3) && hops < HOPS_MAX && !turn.enter(&place.key) {
            return send(&pool, &tally, next(&mut random), hops + 1, place);
        }
        match random >> 32 & 31 {
            0 => thread::sleep(Duration::from_millis(1)),
            1 => drop(pool.abandon(|| (JobId::from_bits(own.load(Ordering::Relaxed)), true))),
            2..8 => thread::yield_now(),
            _ => {}
        }
        tally.ended.fetch_add(1, Ordering::Relaxed);
    };
    Job { run: Box::new(run), id }
}

fn send(pool: &Arc<ThreadPool<Job>>, tally: &Arc<Tally>, seed: u64, hops: u32, place: Place) {
    let job = random_job(pool, tally, seed, hops);
    if seed & 31 == 0 {
        pool.resume(place, job);
    } else if pool.submit(place, job).is_err() {
        tally.ended.fetch_add(1, Ordering::Relaxed);
    }
}

fn stress(workers: usize, level: usize, mut seed: u64) {
    let pool = pool_of(Capacity {
        workers,
        level,
        decoders: 2,
        waiting_max: 50,
        waiting_per_client_percent_max: 60,
        replaced_max: 3,
    });
    let tally = Arc::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..3 {
            let (pool, tally, mut random) = (&pool, &tally, next(&mut seed));
            scope.spawn(move || {
                for number in 0..JOBS_EACH {
                    tally.submitted.fetch_add(1, Ordering::Relaxed);
                    let place = place_of(next(&mut random));
                    send(pool, tally, next(&mut random) | 1 << 63, 0, place);
                    if number % 64 == 0 {
                        let max = index(next(&mut random), 3);
                        pool.set_rules(running_max("a", max));
                        thread::yield_now();
                    }
                }
            });
        }
    });
    let submitted = tally.submitted.load(Ordering::Relaxed);
    wait_until(|| tally.ended.load(Ordering::Relaxed) == submitted);
    wait_until(|| pool.lock().queues.waiting() == 0);
    end(&pool);
    assert_eq!(tally.ended.load(Ordering::Relaxed), submitted, "some ran twice");
}

#[test]
fn every_job_runs_once_whatever_happens_at_once() {
    let mut seed = 0x9E37_79B9_7F4A_7C15;
    for workers in [1, 2, 3, 8, 32] {
        for level in [1, 2, 8] {
            stress(workers, level, next(&mut seed));
        }
    }
}
