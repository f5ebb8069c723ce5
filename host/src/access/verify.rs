//! Whether a name and a password belong together. That takes memory and time on purpose, so few are verified at once, few
//! wait for it, and what was right is remembered for a moment.

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
/// Callers that wait for their turn, but for those that wait for the result of the same credentials. Each is a worker that
/// answers nobody else.
const WAITING_MAX: usize = 4;
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long right credentials are remembered, from their verification on.
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

/// Credentials and the entry they are for, under a key that nobody has: what is remembered tells nothing.
type Tag = Vec<u8>;

/// Verifies against one state of the users file. Its memory goes with it.
pub(super) struct Verifier {
    users: Users,
    key: PKey<Private>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Right ones, and until when.
    known: HashMap<Tag, Instant>,
    running: HashSet<Tag>,
    waiting: usize,
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
    /// # Errors
    /// OpenSSL has no random numbers.
    pub(super) fn new(users: Users) -> Result<Self, String> {
        let mut key = [0; KEY_BYTES];
        let made = openssl::rand::rand_bytes(&mut key).and_then(|()| PKey::hmac(&key));
        let key = made.map_err(|error| format!("no key for remembering credentials: {error}"))?;
        Ok(Self { users, key, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits and works: never called where others wait for this thread.
    pub(super) fn verify(
        &self,
        given: &Credentials<'_>,
        from: Option<IpAddr>,
        throttle: &Throttle,
    ) -> Verdict {
        if given.password.len() > PASSWORD_BYTES_MAX {
            return Verdict::Wrong;
        }
        let entry = self.users.get(given.name);
        let Ok(tag) = self.tag(given, entry.map_or("", |entry| &entry.text)) else { return Verdict::Busy };
        // An unknown name costs what a known one does: somebody's entry is verified, always the same one for the same
        // credentials, and the result does not count.
        let number =
            tag.iter().take(size_of::<u32>()).fold(0, |number, byte| number << 8 | usize::from(*byte));
        let Some(against) = entry.or_else(|| self.users.any(number)) else { return Verdict::Wrong };
        let turn = match self.enter(tag, from, throttle) {
            Entry::Known => return Verdict::Right,
            Entry::Refused(verdict) => return verdict,
            Entry::Turn(turn) => turn,
        };
        let fits = Argon2::default().verify_password(given.password.as_bytes(), &against.hash).is_ok();
        if !(fits && entry.is_some()) {
            return Verdict::Wrong;
        }
        throttle.succeeded(from);
        turn.remember();
        Verdict::Right
    }

    /// Waits for a turn, or for the result of somebody who verifies the same.
    fn enter(&self, tag: Tag, from: Option<IpAddr>, throttle: &Throttle) -> Entry<'_> {
        let end = Instant::now() + WAIT_MAX;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.known.get(&tag).is_some_and(|until| now < *until) {
                return Entry::Known;
            }
            if !throttle.allows(from, now) {
                return Entry::Refused(Verdict::Throttled);
            }
            let is_same = state.running.contains(&tag);
            if !is_same && state.running.len() < RUNNING_MAX {
                if !throttle.begin(from, now) {
                    return Entry::Refused(Verdict::Throttled);
                }
                state.running.insert(tag.clone());
                return Entry::Turn(Turn { verifier: self, tag });
            }
            if now >= end || (!is_same && state.waiting >= WAITING_MAX) {
                return Entry::Refused(Verdict::Busy);
            }
            state.waiting += usize::from(!is_same);
            state = self.changed.wait_timeout(state, end - now).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= usize::from(!is_same);
        }
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
        self.verifier.lock().running.remove(&self.tag);
        self.verifier.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher;
    use argon2::password_hash::phc::PasswordHash;
    use argon2::{Algorithm, Params, Version};
    use std::thread;

    fn verifier() -> Verifier {
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let line = |name: &str, password: &str| {
            let hash: PasswordHash = cheap.hash_password(password.as_bytes()).unwrap();
            format!("{name}:{hash}\n")
        };
        Verifier::new(Users::parse(&(line("ann", "one") + &line("bert", "two"))).unwrap()).unwrap()
    }

    fn verify(verifier: &Verifier, name: &str, password: &str, throttle: &Throttle) -> Verdict {
        let from = Some("10.0.0.1".parse().unwrap());
        verifier.verify(&Credentials { name, password }, from, throttle)
    }

    #[test]
    fn names_and_passwords_belong_together() {
        let verifier = verifier();
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
            assert_eq!(verify(&verifier, name, password, &Throttle::default()), verdict, "{name} {password}");
        }
        assert_eq!(verifier.lock().known.len(), 2, "what is right is remembered");
        assert!(verifier.lock().running.is_empty());
        assert_eq!(verify(&verifier, "ann", &"x".repeat(5_000), &Throttle::default()), Verdict::Wrong);
        let nobody = Verifier::new(Users::default()).unwrap();
        assert_eq!(verify(&nobody, "ann", "one", &Throttle::default()), Verdict::Wrong);
    }

    #[test]
    fn failures_are_throttled_and_what_is_remembered_is_not() {
        let (verifier, throttle) = (verifier(), Throttle::default());
        assert_eq!(verify(&verifier, "ann", "one", &throttle), Verdict::Right);
        let tries: Vec<_> = (0..50).map(|n| verify(&verifier, "ann", &format!("x{n}"), &throttle)).collect();
        let wrong = tries.iter().take_while(|verdict| **verdict == Verdict::Wrong).count();
        assert!((1..50).contains(&wrong));
        assert!(tries[wrong..].iter().all(|verdict| *verdict == Verdict::Throttled), "{tries:?}");
        assert_eq!(verify(&verifier, "bert", "two", &throttle), Verdict::Throttled);
        assert_eq!(verify(&verifier, "ann", "one", &throttle), Verdict::Right);
    }

    #[test]
    fn the_same_at_once_is_verified_once() {
        let (verifier, throttle) = (verifier(), Throttle::default());
        thread::scope(|scope| {
            let callers: Vec<_> =
                (0..40).map(|_| scope.spawn(|| verify(&verifier, "ann", "one", &throttle))).collect();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), Verdict::Right);
            }
        });
    }

    #[test]
    fn memory_is_forgotten_in_time_and_bounded() {
        let verifier = verifier();
        assert_eq!(verify(&verifier, "ann", "one", &Throttle::default()), Verdict::Right);
        for until in verifier.lock().known.values_mut() {
            *until = Instant::now();
        }
        let tag = verifier.lock().known.keys().next().unwrap().clone();
        assert!(matches!(verifier.enter(tag, None, &Throttle::default()), Entry::Turn(_)));
        for number in 0..REMEMBERED_MAX + 5 {
            Turn { verifier: &verifier, tag: number.to_be_bytes().to_vec() }.remember();
        }
        assert_eq!(verifier.lock().known.len(), REMEMBERED_MAX);
    }

    #[test]
    fn few_verify_and_few_wait() {
        let (verifier, throttle) = (verifier(), Throttle::default());
        let enter = |tag: u8| verifier.enter(vec![tag], None, &throttle);
        let turns: Vec<_> = (0..2)
            .map(|tag| match enter(tag) {
                Entry::Turn(turn) => turn,
                _ => panic!("no turn"),
            })
            .collect();
        verifier.lock().waiting = WAITING_MAX;
        assert!(matches!(enter(9), Entry::Refused(Verdict::Busy)));
        verifier.lock().waiting = 0;
        drop(turns);
        assert!(matches!(enter(9), Entry::Turn(_)));
    }
}
