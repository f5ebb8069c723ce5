//! Methods that promise to be quick, and how their calls are judged.

use super::*;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a call that takes so long is answered at once.
fn is_quick(dispatcher: &Dispatcher, method: &str, ms: i32) -> bool {
    let params = [Value::Int(ms)];
    let answer = dispatcher.answer_quickly(method, &params, &context(), &Permit::default());
    answer.map(Result::unwrap).is_some()
}

#[test]
fn only_what_promises_to_be_quick_and_may_be_called_is_answered_at_once() {
    let dispatcher = dispatcher(Limits::default());
    let all = Permit::default();
    assert_eq!(call_quickly(&dispatcher, "echo", &all), Some(Ok(Value::Array(vec![]))));
    for other in ["big", "nope", "system.listMethods"] {
        assert_eq!(call_quickly(&dispatcher, other, &all), None, "{other}");
    }
    assert_eq!(call_quickly(&dispatcher, "echo", &Permit::of_tests(false, &["big"])), None);
}

#[test]
fn a_method_that_breaks_its_promise_to_be_quick_is_not_taken_for_quick_again() {
    let dispatcher = dispatcher(Limits::default());
    assert!(is_quick(&dispatcher, "nap", 0));
    // Two slow calls suffice. On a busy machine the quick call may count as one of them.
    let answered = (0..3).filter(|_| is_quick(&dispatcher, "nap", 5)).count();
    assert!(answered <= 2, "{answered}");
    assert!(!is_quick(&dispatcher, "nap", 0));
    assert!(is_quick(&dispatcher, "sleep", 60));
    assert!(!is_quick(&dispatcher, "sleep", 0), "nothing but the method stands still for so long");
    assert!(
        call_quickly(&dispatcher, "echo", &Permit::default()).is_some(),
        "another one keeps its own"
    );
}

#[test]
fn a_quick_call_past_its_deadline_has_a_fault_and_a_late_one_is_left_to_the_workers() {
    let dispatcher = dispatcher(Limits::default());
    let ask = |deadline_ms: u64, nap_ms: i32| {
        let deadline = Instant::now() + Duration::from_millis(deadline_ms);
        let context = CallContext::of_the_server("test", deadline);
        let params = [Value::Int(nap_ms)];
        dispatcher.answer_quickly("nap", &params, &context, &Permit::default())
    };
    assert_eq!(ask(0, 0), None);
    let fault = ask(200, 300).unwrap().unwrap_err();
    assert_eq!(fault.code, code::DEADLINE);
    assert!(fault.message.contains("before it was answered"), "{}", fault.message);
}

/// Runs this on a thread that has to share its processor with another one.
fn beside_a_rival(work: impl FnOnce() + Send) {
    let is_over = &AtomicBool::new(false);
    thread::scope(|threads| {
        let worker = threads.spawn(move || {
            let all = sched_getaffinity(None).unwrap();
            let mut one = CpuSet::new();
            one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap());
            sched_setaffinity(None, &one).unwrap();
            // It inherits the processor.
            threads.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            work();
        });
        let worked = worker.join();
        is_over.store(true, Ordering::Relaxed);
        worked.unwrap();
    });
}

#[test]
fn waits_before_a_call_do_not_excuse_it() {
    beside_a_rival(|| {
        let dispatcher = dispatcher(Limits::default());
        // So that no earlier call is in doubt.
        assert!((0..300).all(|_| is_quick(&dispatcher, "sleep", 0)));
        if !wait_for_the_processor(Duration::from_millis(200)) {
            return;
        }
        assert!(is_quick(&dispatcher, "sleep", 60));
        assert!(!is_quick(&dispatcher, "sleep", 0), "it stood still for 60 ms by itself");
    });
}

#[test]
fn waits_within_a_call_excuse_it() {
    beside_a_rival(|| {
        let dispatcher = dispatcher(Limits::default());
        for _ in 0..3 {
            let answer = call_quickly(&dispatcher, "yield", &Permit::default());
            let Some(Ok(Value::Bool(true))) = answer else {
                assert_eq!(answer, Some(Ok(Value::Bool(false))), "others took its time");
                return;
            };
        }
        assert!(call_quickly(&dispatcher, "yield", &Permit::default()).is_some());
    });
}
