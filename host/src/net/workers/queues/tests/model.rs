//! Random steps, held against a model that looks at all queues for each answer.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Push(usize, u8),
    Resume(usize, u8),
    Take,
    End(usize),
    Enter(usize, usize),
    Abandon(usize),
    SetRules(usize, Rules),
    RaiseLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Waiting,
    Running,
    /// Its worker is stuck, and replaced or not.
    Stuck(bool),
    Discarded,
    Gone,
}

struct Job {
    id: JobId,
    queue: usize,
    client: u8,
    is_resumed: bool,
    at: At,
}

struct Model {
    queues: Queues<u32>,
    keys: Vec<Key>,
    rules: Vec<Rules>,
    jobs: Vec<Job>,
    level: usize,
}

fn op() -> impl Strategy<Value = Op> {
    let (queue, job) = (0..7_usize, any::<usize>());
    let rules = (1..4_u16, 0..4_usize, 0..8_usize).prop_map(|(w, r, l)| rules(w, r, l));
    prop_oneof![
        8 => (queue.clone(), 0..3_u8).prop_map(|(queue, client)| Op::Push(queue, client)),
        1 => (queue.clone(), 0..3_u8).prop_map(|(queue, client)| Op::Resume(queue, client)),
        8 => Just(Op::Take),
        6 => job.prop_map(Op::End),
        3 => (job, queue).prop_map(|(job, queue)| Op::Enter(job, queue)),
        3 => job.prop_map(Op::Abandon),
        1 => (4..7_usize, rules).prop_map(|(queue, rules)| Op::SetRules(queue, rules)),
        1 => Just(Op::RaiseLevel),
    ]
}

impl Model {
    fn new(workers: usize, level: usize) -> Self {
        let capacity = Capacity { level, waiting_max: 10, replaced_max: 3, ..capacity(workers) };
        let mut keys = vec![Key::Server, Key::Passwords, Key::Documents, Key::Batches];
        keys.extend(["a", "b", "c"].map(plugin));
        let mut rules = vec![Rules::default(); keys.len()];
        rules[2].running_max = NonZeroUsize::new(capacity.decoders);
        Self { queues: Queues::new(capacity), keys, rules, jobs: Vec::new(), level }
    }

    fn count(&self, queue: usize, is: impl Fn(At) -> bool) -> usize {
        self.jobs.iter().filter(|job| job.queue == queue && is(job.at)).count()
    }

    fn running(&self, queue: usize) -> usize {
        self.count(queue, |at| matches!(at, At::Running | At::Stuck(_)))
    }

    fn shared(&self, queue: usize) -> usize {
        let counted = self.count(queue, |at| matches!(at, At::Running | At::Stuck(false)));
        counted.saturating_sub(if queue < 2 { RESERVED } else { 0 })
    }

    fn has_reserve(&self, queue: usize) -> bool {
        let counted = self.count(queue, |at| matches!(at, At::Running | At::Stuck(false)));
        queue < 2 && counted < RESERVED
    }

    /// Whether one more job of a queue may run, by each rule in turn.
    fn may_run(&self, queue: usize, level: usize) -> bool {
        let rules = self.rules[queue];
        if rules.running_max.is_some_and(|max| self.running(queue) >= max.get()) {
            return false;
        }
        if self.has_reserve(queue) {
            return true;
        }
        let workers = self.queues.capacity.workers;
        let all: usize = (0..self.keys.len()).map(|queue| self.shared(queue)).sum();
        let free = workers + workers.div_ceil(SHARE) - all;
        let own = self.shared(queue);
        let share = SHARE * free * usize::from(rules.weight.get());
        free > 0 && own < workers && (own == 0 || (own < share && free > 1 && all < level))
    }

    fn waits(&self, queue: usize) -> bool {
        self.count(queue, |at| at == At::Waiting) > 0
    }

    fn is_ready(&self, level: usize) -> bool {
        (0..self.keys.len()).any(|queue| self.waits(queue) && self.may_run(queue, level))
    }

    fn pick(&self, number: usize, is: impl Fn(At) -> bool) -> Option<usize> {
        let of: Vec<_> = (0..self.jobs.len()).filter(|job| is(self.jobs[*job].at)).collect();
        (!of.is_empty()).then(|| of[number % of.len()])
    }

    fn push(&mut self, queue: usize, client: u8, is_resumed: bool) {
        let place = Place { key: self.keys[queue].clone(), client: super::client(client) };
        let (number, mut new) = (u32::try_from(self.jobs.len()).unwrap(), None);
        let numbered = |_: &u32, id| new.replace(id).is_none();
        let first = |job: &&Job| job.queue == queue && job.at == At::Waiting && !job.is_resumed;
        let all = self.jobs.iter().filter(first).count();
        let own = self.jobs.iter().filter(first).filter(|job| job.client == client).count();
        let max = self.rules[queue].waiting_max.map_or(10, NonZeroUsize::get);
        let fits = all < max && own < (max / 2).max(1);
        if is_resumed {
            self.queues.push_resumed(place, number, numbered);
        } else {
            assert_eq!(self.queues.push(place, number, numbered).is_ok(), fits);
        }
        if let Some(id) = new {
            self.jobs.push(Job { id, queue, client, is_resumed, at: At::Waiting });
        }
    }

    /// Takes a job, and checks that it is one that the rules give next.
    fn take(&mut self) -> bool {
        let has_discarded = self.jobs.iter().any(|job| job.at == At::Discarded);
        let is_ready = self.is_ready(self.level);
        let Some(Taken { id, job: number, .. }) = self.queues.take() else {
            assert!(!has_discarded && !is_ready, "a job was ready");
            return false;
        };
        let number = number as usize;
        if id.is_none() {
            assert_eq!(self.jobs[number].at, At::Discarded);
            self.jobs[number].at = At::Gone;
            return true;
        }
        let Job { queue, client, is_resumed, at, .. } = self.jobs[number];
        assert!(at == At::Waiting && id == Some(self.jobs[number].id), "taken twice");
        assert!(self.may_run(queue, self.level), "beyond a limit");
        let load = |queue: usize| {
            let rank =
                self.shared(queue) as u64 * RANK_UNIT / u64::from(self.rules[queue].weight.get());
            if self.has_reserve(queue) { 0 } else { 1 + rank }
        };
        let ready = |other: &usize| self.waits(*other) && self.may_run(*other, self.level);
        let least = (0..self.keys.len()).filter(ready).map(load).min();
        assert_eq!(Some(load(queue)), least, "another queue has fewer");
        let before = self.jobs[..number].iter().filter(|job| job.queue == queue);
        let before = before.filter(|job| job.at == At::Waiting);
        assert!(
            !before.into_iter().any(|job| {
                job.is_resumed == is_resumed && (is_resumed || job.client == client)
            })
        );
        self.jobs[number].at = At::Running;
        true
    }

    fn step(&mut self, op: Op) {
        let runs = |at| matches!(at, At::Running | At::Stuck(_));
        match op {
            Op::Push(queue, client) => self.push(queue, client, false),
            Op::Resume(queue, client) => self.push(queue, client, true),
            Op::Take => drop(self.take()),
            Op::End(number) => {
                let Some(job) = self.pick(number, runs) else { return };
                end(&mut self.queues, self.jobs[job].id);
                end(&mut self.queues, self.jobs[job].id);
                self.jobs[job].at = At::Gone;
            }
            Op::Enter(number, to) => {
                let Some(job) = self.pick(number, runs) else { return };
                let (from, at) = (self.jobs[job].queue, self.jobs[job].at);
                self.jobs[job].at = At::Gone;
                let may = from == to
                    || at == At::Stuck(true)
                    || (!self.waits(to) && self.may_run(to, self.level));
                self.jobs[job].at = at;
                assert_eq!(self.queues.enter(self.jobs[job].id, &self.keys[to]), may);
                self.jobs[job].queue = if may { to } else { from };
            }
            Op::Abandon(number) => {
                let is = |at| matches!(at, At::Running | At::Waiting);
                let Some(job) = self.pick(number, is) else { return };
                let replaced = self.jobs.iter().filter(|job| job.at == At::Stuck(true)).count();
                let is_running = self.jobs[job].at == At::Running;
                let abandoned = self.queues.abandon(self.jobs[job].id, is_running).unwrap();
                let is_replaced = replaced < 3;
                let at = if is_running { At::Stuck(is_replaced) } else { At::Discarded };
                self.jobs[job].at = at;
                assert_eq!(abandoned != Abandoned::Discarded, is_running);
            }
            Op::SetRules(queue, rules) => {
                self.rules[queue] = rules;
                let all = self.keys.iter().cloned().zip(self.rules.iter().copied()).skip(4);
                self.queues.set_rules(all.collect());
            }
            Op::RaiseLevel => {
                self.level += 1;
                self.queues.raise_level();
            }
        }
    }

    fn check(&self) {
        let all: usize = (0..self.keys.len()).map(|queue| self.shared(queue)).sum();
        assert_eq!(self.queues.shared, all);
        assert!(all <= self.queues.shared_max(), "more than there are");
        let has_discarded = self.jobs.iter().any(|job| job.at == At::Discarded);
        let is_ready = self.is_ready(self.level);
        assert_eq!(self.queues.is_ready(), is_ready || has_discarded);
        let is_held_back = !is_ready && !has_discarded && self.is_ready(usize::MAX);
        assert_eq!(self.queues.is_held_back(), is_held_back);
        let running = self.jobs.iter().filter(|job| matches!(job.at, At::Running | At::Stuck(_)));
        assert!(running.count() <= self.queues.workers(), "more than there are threads");
        assert_eq!(
            self.queues.waiting(),
            (0..7).map(|queue| { self.count(queue, |at| at == At::Waiting) }).sum::<usize>()
        );
    }

    /// Lets everything run. No job is lost.
    fn finish(mut self) {
        loop {
            while self.take() {
                self.check();
            }
            let runs = |at| matches!(at, At::Running | At::Stuck(_));
            let Some(job) = self.pick(0, runs) else { break };
            end(&mut self.queues, self.jobs[job].id);
            self.jobs[job].at = At::Gone;
            self.check();
        }
        assert!(self.jobs.iter().all(|job| job.at == At::Gone));
        assert!(self.queues.jobs.is_empty() && self.queues.order.is_empty());
        assert_eq!((self.queues.shared, self.queues.stuck, self.queues.replaced), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn every_step_does_what_the_rules_say(
        workers in 1..9_usize,
        level in 1..6_usize,
        ops in proptest::collection::vec(op(), 0..200),
    ) {
        let mut model = Model::new(workers, level);
        for op in ops {
            model.step(op);
            model.check();
        }
        model.finish();
    }
}
