//! Verifies a name with its password. argon2 takes memory and time on purpose, so few
//! verifications run at once.
//!
//! - Callers that verify or wait for it hold workers. Their number is limited, so at least half of
//!   the workers stay free for other calls.
//! - A caller with credentials that are already being verified waits for that result.
//! - A malformed try needs no verification and counts as failed in the same way.
//! - Successful results are cached while in use. Each belongs to one entry of the users file, so a
//!   reload keeps it exactly for users whose entry is unchanged.
//! - A reload does not reset failures or running verifications. Nobody gets new tries by it.

use super::throttle::Throttle;
use super::users::{PASSWORD_BYTES_MAX, Users};
use argon2::{Argon2, PasswordVerifier};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Verifications at once. Each has the memory that its hash asks for.
const RUNNING_MAX: usize = 2;
/// Callers at once: those that verify, and those that wait for their turn or for the result of the
/// same credentials. Each is a worker that answers nobody else.
const CALLERS_MAX: usize = 6;
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long right credentials are remembered from their last use on. They would be right again: a
/// changed entry is another tag. Were it from their verification on, all calls of a busy user would
/// meet here each time it is over.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 1_024;
const KEY_BYTES: usize = 32;

/// A name and a password as a caller gives them.
pub(super) struct Credentials<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// The caller's address has failed too often.
    Throttled,
    /// Too many are being verified, or the verification itself failed.
    Busy,
}

/// Credentials and the entry they are for, under a key that nobody has: what is remembered tells
/// nothing.
type Tag = Vec<u8>;

/// Verifies against whatever state of the users file it is given: what it remembers is of one
/// entry.
pub(super) struct Verifier {
    key: PKey<Private>,
    callers_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Right ones, and until when.
    known: HashMap<Tag, Instant>,
    running: HashSet<Tag>,
    /// Those that run and those that wait.
    callers: usize,
}

enum Entry<'a> {
    Known,
    Refused(Verdict),
    Turn(Turn<'a>),
}

/// The right to verify. Given back when it goes, also by a panic.
struct Turn<'a> {
    verifier: &'a Verifier,
    tag: Tag,
}

impl Verifier {
    /// Takes at most half of so many workers, but for the only one.
    ///
    /// # Errors
    /// OpenSSL has no random numbers.
    pub(super) fn new(workers: usize) -> Result<Self, String> {
        let mut key = [0; KEY_BYTES];
        let made = openssl::rand::rand_bytes(&mut key).and_then(|()| PKey::hmac(&key));
        let key = made.map_err(|error| format!("no key for remembering credentials: {error}"))?;
        let callers_max = (workers / 2).clamp(1, CALLERS_MAX);
        Ok(Self { key, callers_max, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits and works: never called where others wait for this thread.
    pub(super) fn verify(
        &self,
        users: &Users,
        given: &Credentials<'_>,
        from: Option<IpAddr>,
        throttle: &Throttle,
    ) -> Verdict {
        // Nobody has such a password, so it is not hashed.
        if given.password.len() > PASSWORD_BYTES_MAX {
            return refuse(from, throttle);
        }
        let entry = users.get(given.name);
        let Ok(tag) = self.tag(given, entry.map_or("", |entry| &entry.text)) else {
            return Verdict::Busy;
        };
        // An unknown name costs what a known one does: somebody's entry is verified, always the
        // same one for the same credentials, and the result does not count.
        let number = tag
            .iter()
            .take(size_of::<u32>())
            .fold(0, |number, byte| number << 8 | usize::from(*byte));
        let Some(against) = entry.or_else(|| users.any(number)) else {
            return refuse(from, throttle);
        };
        let turn = match self.enter(tag, from, throttle) {
            Entry::Known => return Verdict::Right,
            Entry::Refused(verdict) => return verdict,
            Entry::Turn(turn) => turn,
        };
        let fits =
            Argon2::default().verify_password(given.password.as_bytes(), &against.hash).is_ok();
        if !(fits && entry.is_some()) {
            return Verdict::Wrong;
        }
        throttle.succeeded(from);
        turn.remember();
        Verdict::Right
    }

    /// Waits for a turn, or for the result of somebody who verifies the same. Who is known never
    /// waits.
    fn enter(&self, tag: Tag, from: Option<IpAddr>, throttle: &Throttle) -> Entry<'_> {
        let end = Instant::now() + WAIT_MAX;
        let mut state = self.lock();
        let mut is_counted = false;
        let entry = loop {
            let now = Instant::now();
            if state.knows(&tag, now) {
                break Entry::Known;
            }
            if !throttle.allows(from, now) {
                break Entry::Refused(Verdict::Throttled);
            }
            if now >= end || (!is_counted && state.callers >= self.callers_max) {
                break Entry::Refused(Verdict::Busy);
            }
            state.callers += usize::from(!is_counted);
            is_counted = true;
            if state.running.len() < RUNNING_MAX && !state.running.contains(&tag) {
                if !throttle.begin(from, now) {
                    break Entry::Refused(Verdict::Throttled);
                }
                state.running.insert(tag.clone());
                return Entry::Turn(Turn { verifier: self, tag });
            }
            state = self
                .changed
                .wait_timeout(state, end - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        };
        state.callers -= usize::from(is_counted);
        entry
    }

    fn tag(&self, given: &Credentials<'_>, entry: &str) -> Result<Tag, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        for part in [given.name, given.password, entry] {
            // With their lengths: no two triples are the same bytes.
            signer.update(&(part.len() as u64).to_be_bytes())?;
            signer.update(part.as_bytes())?;
        }
        signer.sign_to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this was right a moment ago, which from now on it was.
    fn knows(&mut self, tag: &Tag, now: Instant) -> bool {
        let Some(until) = self.known.get_mut(tag).filter(|until| now < **until) else {
            return false;
        };
        *until = now + REMEMBERED;
        true
    }
}

impl Turn<'_> {
    fn remember(&self) {
        let now = Instant::now();
        let mut state = self.verifier.lock();
        if state.known.len() >= REMEMBERED_MAX {
            state.known.retain(|_, until| now < *until);
        }
        if state.known.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                state.known.iter().min_by_key(|(_, until)| **until).map(|(tag, _)| tag.clone())
        {
            state.known.remove(&oldest);
        }
        state.known.insert(self.tag.clone(), now + REMEMBERED);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.verifier.lock();
        state.running.remove(&self.tag);
        state.callers -= 1;
        drop(state);
        self.verifier.changed.notify_all();
    }
}

/// Counts a try that is wrong without any verification.
pub(super) fn refuse(from: Option<IpAddr>, throttle: &Throttle) -> Verdict {
    if throttle.begin(from, Instant::now()) { Verdict::Wrong } else { Verdict::Throttled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher;
    use argon2::password_hash::phc::PasswordHash;
    use argon2::{Algorithm, Params, Version};
    use std::thread;

    const WORKERS: usize = 8;

    /// Users `ann` with the password `one` and `bert` with `two`.
    struct Trial {
        verifier: Verifier,
        users: Users,
    }

    fn trial() -> Trial {
        let cheap =
            Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let line = |name: &str, password: &str| {
            let hash: PasswordHash = cheap.hash_password(password.as_bytes()).unwrap();
            format!("{name}:{hash}\n")
        };
        let users = Users::parse(&(line("ann", "one") + &line("bert", "two"))).unwrap();
        Trial { verifier: Verifier::new(WORKERS).unwrap(), users }
    }

    impl Trial {
        fn verify(&self, name: &str, password: &str, throttle: &Throttle) -> Verdict {
            let from = Some("10.0.0.1".parse().unwrap());
            self.verifier.verify(&self.users, &Credentials { name, password }, from, throttle)
        }
    }

    #[test]
    fn names_and_passwords_belong_together() {
        let mut trial = trial();
        let rows = [
            ("ann", "one", Verdict::Right),
            ("ann", "one", Verdict::Right),
            ("ann", "two", Verdict::Wrong),
            ("bert", "two", Verdict::Right),
            ("ann", "", Verdict::Wrong),
            ("Ann", "one", Verdict::Wrong),
            ("", "", Verdict::Wrong),
            ("nobody", "one", Verdict::Wrong),
            ("nobody", "two", Verdict::Wrong),
        ];
        for (name, password, verdict) in rows {
            assert_eq!(
                trial.verify(name, password, &Throttle::default()),
                verdict,
                "{name} {password}"
            );
        }
        let state = trial.verifier.lock();
        assert_eq!(state.known.len(), 2, "what is right is remembered");
        assert!(state.running.is_empty() && state.callers == 0);
        drop(state);
        assert_eq!(trial.verify("ann", &"x".repeat(5_000), &Throttle::default()), Verdict::Wrong);
        trial.users = Users::default();
        assert_eq!(trial.verify("ann", "one", &Throttle::default()), Verdict::Wrong);
    }

    #[test]
    fn what_is_remembered_is_of_one_entry() {
        let (mut mine, other) = (trial(), trial());
        assert_eq!(mine.verify("ann", "one", &Throttle::default()), Verdict::Right);
        let throttle = Throttle::default();
        while mine.verify("ann", "x", &throttle) != Verdict::Throttled {}
        assert_eq!(mine.verify("ann", "one", &throttle), Verdict::Right, "without a try");
        // The same password under another salt.
        mine.users = other.users;
        assert_eq!(mine.verify("ann", "one", &throttle), Verdict::Throttled);
        assert_eq!(mine.verify("ann", "one", &Throttle::default()), Verdict::Right);
    }

    #[test]
    fn failures_are_throttled_and_what_is_remembered_is_not() {
        let (trial, throttle) = (trial(), Throttle::default());
        assert_eq!(trial.verify("ann", "one", &throttle), Verdict::Right);
        let tries: Vec<_> =
            (0..50).map(|n| trial.verify("ann", &format!("x{n}"), &throttle)).collect();
        let wrong = tries.iter().take_while(|verdict| **verdict == Verdict::Wrong).count();
        assert!((1..50).contains(&wrong));
        assert!(tries[wrong..].iter().all(|verdict| *verdict == Verdict::Throttled), "{tries:?}");
        assert_eq!(trial.verify("bert", "two", &throttle), Verdict::Throttled);
        assert_eq!(trial.verify("ann", "one", &throttle), Verdict::Right);
    }

    #[test]
    fn what_cannot_be_right_counts_and_is_not_verified() {
        let mut trial = trial();
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        // Nobody can be verified meanwhile.
        trial.verifier.lock().callers = trial.verifier.callers_max;
        assert_eq!(trial.verify("ann", &long[1..], &Throttle::default()), Verdict::Busy);
        for (users, password) in
            [(std::mem::take(&mut trial.users), long.as_str()), (Users::default(), "one")]
        {
            let throttle = Throttle::default();
            trial.users = users;
            let verdicts: Vec<_> =
                (0..12).map(|_| trial.verify("ann", password, &throttle)).collect();
            assert_eq!(verdicts[..10], [Verdict::Wrong; 10], "{} bytes", password.len());
            assert_eq!(verdicts[10..], [Verdict::Throttled; 2], "{} bytes", password.len());
        }
    }

    #[test]
    fn the_same_at_once_is_verified_once() {
        let (trial, throttle) = (trial(), Throttle::default());
        thread::scope(|scope| {
            let callers: Vec<_> = (0..trial.verifier.callers_max)
                .map(|_| scope.spawn(|| trial.verify("ann", "one", &throttle)))
                .collect();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), Verdict::Right);
            }
        });
    }

    #[test]
    fn memory_is_forgotten_in_time_and_bounded() {
        let Trial { verifier, users } = trial();
        let ann = Credentials { name: "ann", password: "one" };
        let throttle = Throttle::default();
        assert_eq!(verifier.verify(&users, &ann, None, &throttle), Verdict::Right);
        let now = Instant::now();
        let set = |until| verifier.lock().known.values_mut().for_each(|known| *known = until);
        let tag = verifier.lock().known.keys().next().unwrap().clone();
        set(now + REMEMBERED / 2);
        assert!(matches!(verifier.enter(tag.clone(), None, &throttle), Entry::Known));
        assert!(verifier.lock().known[&tag] >= now + REMEMBERED, "from its last use on");
        set(now);
        assert!(matches!(verifier.enter(tag, None, &throttle), Entry::Turn(_)));
        for number in 0..REMEMBERED_MAX + 5 {
            verifier.lock().callers += 1;
            Turn { verifier: &verifier, tag: number.to_be_bytes().to_vec() }.remember();
        }
        assert_eq!(verifier.lock().known.len(), REMEMBERED_MAX);
    }

    #[test]
    fn few_verify_few_wait_and_who_is_known_does_neither() {
        let throttle = Throttle::default();
        for (workers, callers_max) in [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (12, 6), (1_024, 6)]
        {
            let verifier = Verifier::new(workers).unwrap();
            let enter = |tag: u8| verifier.enter(vec![tag], None, &throttle);
            verifier.lock().known.insert(vec![100], Instant::now() + REMEMBERED);
            let run = |tag| match enter(tag) {
                Entry::Turn(turn) => turn,
                _ => panic!("no turn for {tag} of {workers}"),
            };
            let turns: Vec<_> = (0..).take(RUNNING_MAX.min(callers_max)).map(run).collect();
            // The rest of them wait for the result of the first.
            thread::scope(|scope| {
                for _ in turns.len()..callers_max {
                    scope.spawn(|| enter(0));
                }
                while verifier.lock().callers < callers_max {
                    thread::yield_now();
                }
                for tag in [0, 9] {
                    assert!(
                        matches!(enter(tag), Entry::Refused(Verdict::Busy)),
                        "{tag} of {workers}"
                    );
                }
                assert!(matches!(enter(100), Entry::Known));
                drop(turns);
            });
            assert_eq!(verifier.lock().callers, 0);
            drop(run(9));
        }
    }
}
