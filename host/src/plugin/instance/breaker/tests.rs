//! The breaker with a clock that only the tests move.

use super::*;
use crate::registry::CallContext;
use std::net::IpAddr;

const SECOND: Duration = Duration::from_secs(1);

/// A breaker, and a clock that only the test moves.
struct Scene {
    breaker: Breaker,
    now: Instant,
}

impl Scene {
    /// Limits: 5 panics in a row within a minute, 3 of one caller, waits of 1 to 8 s.
    fn new() -> Self {
        let limits = Limits {
            panics_max: 5,
            caller_panics_max: 3,
            panics_ms_max: 60_000,
            panic_retry_ms: 1_000,
            panic_retry_ms_max: 8_000,
            ..Limits::default()
        };
        Self { breaker: Breaker::new(&limits), now: Instant::now() }
    }

    fn enter(&self, caller: u8) -> Result<Entry, Closed> {
        self.breaker.enter(&one(caller), self.now)
    }

    /// A call that is let in and panics.
    fn panics(&self, caller: u8) -> Option<Change> {
        self.breaker.ended(one(caller), self.enter(caller).unwrap(), true, self.now)
    }

    /// A call that is let in and ends in order.
    fn works(&self, caller: u8) -> Option<Change> {
        self.breaker.ended(one(caller), self.enter(caller).unwrap(), false, self.now)
    }

    fn open(&self) {
        for caller in 101..105 {
            assert_eq!(self.panics(caller), None);
        }
        assert_eq!(self.panics(105), Some(Change::Opened { wait: SECOND }));
        assert!(self.breaker.is_open());
    }
}

fn one(caller: u8) -> Caller {
    Caller::Address(IpAddr::from([10, 0, 0, caller]).into())
}

/// The trial call of a caller in good standing, or of another one.
fn trial(is_known: bool) -> Result<Entry, Closed> {
    Ok(Entry::PluginTrial { is_known })
}

fn refused(panics: u32, seconds: u32) -> Option<Change> {
    Some(Change::CallerRefused { caller: one(1), panics, wait: SECOND * seconds })
}

#[test]
fn one_caller_is_refused_longer_and_longer_and_others_never() {
    let mut scene = Scene::new();
    assert_eq!([scene.panics(1), scene.panics(1), scene.panics(1)], [None, None, refused(3, 1)]);
    for (panics, seconds) in [(3, 1), (4, 2), (5, 4), (6, 8), (7, 8)] {
        let wait = SECOND * seconds;
        assert_eq!(scene.enter(1), Err(Closed::ToCaller { panics, wait }));
        assert_eq!(scene.breaker.callers_refused(scene.now), 1);
        assert_eq!(scene.enter(2), Ok(Entry::Usual), "another one enters");
        scene.now += wait;
        assert_eq!(scene.panics(1), refused(panics + 1, (seconds * 2).min(8)));
    }
    assert!(!scene.breaker.is_open(), "one caller alone does not open it");
}

#[test]
fn a_refused_caller_has_one_call_to_try_and_is_free_when_it_works() {
    let mut scene = Scene::new();
    assert_eq!([scene.panics(1), scene.panics(1), scene.panics(1)], [None, None, refused(3, 1)]);
    scene.now += SECOND;
    assert_eq!(scene.enter(1), Ok(Entry::CallerTrial));
    let busy = Err(Closed::ToCaller { panics: 3, wait: SECOND });
    assert_eq!((scene.enter(1), scene.enter(1)), (busy, busy));
    assert_eq!(scene.breaker.ended(one(1), Entry::CallerTrial, false, scene.now), None);
    assert_eq!((scene.enter(1), scene.panics(1)), (Ok(Entry::Usual), None), "it begins from none");
}

#[test]
fn a_try_that_never_ends_is_not_the_last() {
    let mut scene = Scene::new();
    assert_eq!([scene.panics(1), scene.panics(1), scene.panics(1)], [None, None, refused(3, 1)]);
    scene.now += SECOND;
    assert_eq!(scene.enter(1), Ok(Entry::CallerTrial));
    scene.now += SECOND;
    assert_eq!(scene.enter(1), Ok(Entry::CallerTrial));

    let mut scene = Scene::new();
    scene.open();
    scene.now += SECOND;
    assert_eq!(scene.enter(2), trial(false));
    assert_eq!(scene.enter(3), Err(Closed::ToAll { wait: SECOND }));
    scene.now += SECOND;
    assert_eq!(scene.enter(3), trial(false));
}

/// All of them entered before the first one panicked.
#[test]
fn many_panics_at_once_are_no_more_than_so_many_of_one_caller() {
    let scene = Scene::new();
    for number in 1..=100 {
        let change = scene.breaker.ended(one(1), Entry::Usual, true, scene.now);
        assert_eq!(change, if number == 3 { refused(3, 1) } else { None });
    }
    assert_eq!(scene.enter(1), Err(Closed::ToCaller { panics: 100, wait: SECOND }));
    assert!(!scene.breaker.is_open());
}

#[test]
fn panics_of_several_callers_open_it_and_one_call_that_works_closes_it() {
    let mut scene = Scene::new();
    scene.open();
    for (caller, after, wait) in [(11, 1, 2), (12, 2, 4), (13, 4, 8), (14, 8, 8)] {
        assert_eq!(scene.enter(1), Err(Closed::ToAll { wait: SECOND * after }));
        assert_eq!(scene.breaker.next_try(scene.now), Some(SECOND * after));
        scene.now += SECOND * after;
        assert_eq!(scene.enter(caller), trial(false));
        assert_eq!(scene.enter(1), Err(Closed::ToAll { wait: SECOND * after }), "only one");
        let change = scene.breaker.ended(
            one(caller),
            Entry::PluginTrial { is_known: false },
            true,
            scene.now,
        );
        assert_eq!(change, Some(Change::StaysOpen { wait: SECOND * wait }));
    }
    scene.now += SECOND * 8;
    assert_eq!(scene.works(1), Some(Change::Closed));
    assert!(!scene.breaker.is_open() && scene.breaker.next_try(scene.now).is_none());
    assert_eq!(scene.works(2), None);
    // From the beginning, also with the waits.
    assert_eq!(scene.works(101), None);
    scene.open();
}

#[test]
fn a_few_callers_with_the_same_poison_do_not_open_it() {
    for is_known in [false, true] {
        let mut scene = Scene::new();
        for caller in 1..=4 {
            if is_known {
                scene.works(caller);
            }
        }
        for _ in 0..20 {
            for caller in 1..=4 {
                if let Ok(entry) = scene.enter(caller) {
                    scene.breaker.ended(one(caller), entry, true, scene.now);
                }
            }
            assert_eq!(scene.enter(5), Ok(Entry::Usual));
            scene.now += SECOND;
        }
        assert!(!scene.breaker.is_open());
    }
}

#[test]
fn panics_of_new_callers_do_not_take_it_from_known_ones() {
    let scene = Scene::new();
    assert_eq!(scene.works(1), None);
    for caller in 101..=200 {
        assert_eq!(scene.panics(caller), None);
    }
    assert_eq!(scene.enter(1), Ok(Entry::Usual));
    assert_eq!(scene.breaker.lock().panics.len(), 4);
    // The plugin panics on every call.
    assert_eq!(scene.panics(1), Some(Change::Opened { wait: SECOND }));
}

#[test]
fn a_known_caller_opens_it_with_others_wherever_it_is_in_the_row() {
    for place in 0..5 {
        let scene = Scene::new();
        // Another one is known and does not call.
        assert_eq!((scene.works(1), scene.works(2)), (None, None));
        for number in 0..4 {
            assert_eq!(scene.panics(if number == place { 1 } else { 101 + number }), None);
            // It counts once and stays known to the row.
            assert_eq!(scene.panics(if number == place { 1 } else { 101 + number }), None);
        }
        let change = scene.panics(if place == 4 { 1 } else { 105 });
        assert_eq!(change, Some(Change::Opened { wait: SECOND }), "{place}");
    }
}

#[test]
fn known_callers_have_the_first_trial_whatever_others_do() {
    let mut scene = Scene::new();
    assert_eq!((scene.works(1), scene.works(2)), (None, None));
    for caller in 101..=104 {
        assert_eq!(scene.panics(caller), None);
    }
    assert_eq!(scene.panics(1), Some(Change::Opened { wait: SECOND }));
    scene.now += SECOND;
    assert_eq!(scene.breaker.next_try(scene.now), Some(Duration::ZERO));
    assert_eq!(scene.enter(110), Err(Closed::ToAll { wait: SECOND }), "new ones wait");
    assert_eq!(scene.enter(1), Err(Closed::ToAll { wait: SECOND * 2 }), "and it panicked lately");
    // No known one calls, so new ones have their trials, which panic.
    for (caller, (after, wait)) in (111..).zip([(1, 2), (2, 4), (4, 8), (8, 8), (8, 8)]) {
        scene.now += SECOND * after;
        assert_eq!(scene.panics(caller), Some(Change::StaysOpen { wait: SECOND * wait }));
    }
    assert_eq!(scene.enter(2), trial(true), "at once, although others panicked just now");
    assert_eq!(scene.enter(2), Err(Closed::ToAll { wait: SECOND }));
    let change =
        scene.breaker.ended(one(2), Entry::PluginTrial { is_known: true }, false, scene.now);
    assert_eq!(change, Some(Change::Closed));
    assert_eq!(scene.enter(130), Ok(Entry::Usual));
}

#[test]
fn a_known_caller_whose_trial_panics_is_known_no_more() {
    let mut scene = Scene::new();
    for caller in 1..=6 {
        assert_eq!(scene.works(caller), None);
    }
    for caller in 1..=4 {
        assert_eq!(scene.panics(caller), None);
    }
    assert_eq!(scene.panics(5), Some(Change::Opened { wait: SECOND }));
    scene.now += SECOND;
    assert_eq!(scene.panics(6), Some(Change::StaysOpen { wait: SECOND * 2 }));
    // Nobody is in good standing, so nobody is waited for.
    scene.now += SECOND * 2;
    assert_eq!(scene.enter(110), trial(false));
}

#[test]
fn who_panicked_lately_is_not_the_first_to_try() {
    let mut scene = Scene::new();
    scene.open();
    scene.now += SECOND;
    assert_eq!(scene.enter(101), Err(Closed::ToAll { wait: SECOND }));
    assert_eq!(scene.enter(1), trial(false));
    assert_eq!(
        scene.breaker.ended(one(1), Entry::PluginTrial { is_known: false }, true, scene.now),
        Some(Change::StaysOpen { wait: SECOND * 2 })
    );
    // Nobody else calls.
    scene.now += SECOND * 4;
    assert_eq!(scene.works(101), Some(Change::Closed));
}

#[test]
fn a_call_of_before_that_works_does_not_close_it() {
    let scene = Scene::new();
    scene.open();
    assert_eq!(scene.breaker.ended(one(1), Entry::Usual, false, scene.now), None);
    assert_eq!(scene.breaker.ended(one(2), Entry::Usual, true, scene.now), None);
    assert!(scene.breaker.is_open());
    assert_eq!(scene.breaker.next_try(scene.now), Some(SECOND));
}

#[test]
fn a_call_that_works_ends_a_row() {
    let scene = Scene::new();
    for _ in 0..10 {
        assert_eq!((scene.panics(1), scene.panics(1), scene.works(1)), (None, None, None));
        assert_eq!((scene.panics(2), scene.panics(3), scene.works(4)), (None, None, None));
        assert_eq!((scene.works(2), scene.works(3)), (None, None));
    }
    assert!(scene.breaker.is_calm());
}

#[test]
fn panics_further_apart_than_the_window_do_not_add_up() {
    let mut scene = Scene::new();
    for caller in (1..200).cycle().take(1_000) {
        assert_eq!(scene.panics(caller), None);
        scene.now += SECOND * 16;
    }
    for _ in 0..10 {
        scene.now += SECOND * 61;
        assert_eq!((scene.panics(1), scene.panics(1)), (None, None));
    }
    scene.now += SECOND * 61;
    assert_eq!(scene.works(7), None);
    scene.now += SECOND * 61;
    assert_eq!(scene.works(7), None);
    assert!(scene.breaker.is_calm(), "and are forgotten");
}

#[test]
fn one_panic_may_be_enough() {
    for caller_panics_max in [0, 1, 3] {
        let limits = Limits { panics_max: 1, caller_panics_max, ..Limits::default() };
        let mut scene = Scene { breaker: Breaker::new(&limits), now: Instant::now() };
        assert_eq!(scene.works(1), None);
        assert_eq!(scene.panics(2), Some(Change::Opened { wait: SECOND }));
        // Callers are not told apart, so nobody goes first.
        assert_eq!(scene.breaker.next_try(scene.now), Some(SECOND));
        scene.now += SECOND;
        assert_eq!(scene.enter(2), trial(false));
    }
}

#[test]
fn nothing_grows_without_end() {
    let scene = Scene::new();
    for number in 0..10_000_u32 {
        let caller = Caller::Address(IpAddr::V4(number.into()).into());
        scene.breaker.ended(
            caller,
            Entry::Usual,
            true,
            scene.now + Duration::from_micros(number.into()),
        );
    }
    for number in 0..10_000_u32 {
        scene.breaker.answered(&Caller::Address(IpAddr::V4(number.into()).into()));
    }
    let state = scene.breaker.lock();
    assert_eq!(state.culprits.len(), CULPRITS_MAX);
    assert!(state.panics.len() <= 5);
    assert!(!state.culprits.contains_key(&Caller::Address(IpAddr::V4(0.into()).into())));
}

#[test]
fn callers_are_users_else_networks() {
    let caller = |name: &str, address: Option<&str>| {
        let mut context = CallContext::of_the_server("a call", Instant::now());
        context.caller_name = name.into();
        context.caller_ip = address.map(|address| address.parse().unwrap());
        Caller::of(&context).to_string()
    };
    assert_eq!(caller("ann", Some("10.0.0.1")), "user ann");
    assert_eq!(caller("", Some("10.0.0.1")), "10.0.0.1");
    assert_eq!(caller("", Some("::ffff:10.0.0.1")), "10.0.0.1");
    assert_eq!(caller("", Some("2001:db8::1")), caller("", Some("2001:db8::ffff:2")));
    assert_eq!(caller("", Some("2001:db8:0:1::1")), "2001:db8:0:1::/64");
    assert_eq!(caller("", None), "callers without name and address");
}
