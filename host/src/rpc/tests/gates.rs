//! Calls that wait for others: methods with a limit of their own, and plugins that are replaced.

use super::*;
use crate::limits::MethodLimits;
use crate::registry::{Gate, InPlace};
use crate::xmlrpc::ReadLimits;
use std::num::NonZeroUsize;

#[test]
fn as_many_calls_of_a_method_run_as_may_in_a_batch_too() {
    let one = MethodLimits { concurrency_max: NonZeroUsize::new(1) };
    let concurrency = Arc::new(Concurrency::new(&[("echo".to_owned(), one)].into()));
    let dispatcher = dispatcher(Limits::default()).with_concurrency(Arc::clone(&concurrency));
    let echo = || dispatcher.ask("echo", &[], &context(), &Permit::default(), &Unlimited).unwrap();
    assert!(echo().is_ok());
    let running = concurrency.enter("echo").unwrap();
    assert_eq!(echo().unwrap_err().code, code::OVERLOADED);
    let batch = Value::Array(vec![entry("echo", vec![]), entry("big", vec![])]);
    let answered = dispatcher
        .ask("system.multicall", &[batch], &context(), &Permit::default(), &Unlimited)
        .unwrap()
        .unwrap();
    let Value::Array(entries) = answered else { panic!("no array") };
    assert!(matches!(entries.as_slice(), [Value::Struct(_), Value::Array(_)]), "{entries:?}");
    drop(running);
    assert!(echo().is_ok());
}

/// Answers with its parameter, in place.
struct Same;

impl Instance for Same {
    fn invoke<'a>(
        &'a self,
        index: usize,
        params: Items<'a>,
        _: &'a Arena,
        context: &'a CallContext,
    ) -> Result<Answer<'a>, Fault> {
        let tree = params.iter().next().unwrap();
        let result = InPlace::new(tree, &ReadLimits::NONE, self, index, context, None);
        Ok(Answer::InPlace(result))
    }

    fn refuse(&self, _: usize, defect: Defect, _: &CallContext) -> Fault {
        panic!("a parameter has {defect}")
    }
}

#[test]
fn a_call_counts_until_its_result_is_read() {
    let one = MethodLimits { concurrency_max: NonZeroUsize::new(1) };
    let concurrency = Arc::new(Concurrency::new(&[("same".to_owned(), one)].into()));
    let dispatcher = dispatcher(Limits::default()).with_concurrency(Arc::clone(&concurrency));
    let same = Method {
        info: Arc::new(MethodInfo { name: "same".to_owned(), ..MethodInfo::default() }),
        instance: Arc::new(Same),
        index: 0,
        queue: Key::Plugin("same".into()),
        promise: Arc::new(Promise::new(true)),
        gate: None,
    };
    dispatcher.registry().publish([same].into_iter().collect());
    let (snapshot, context, permit) =
        (dispatcher.registry().snapshot(), context(), Permit::default());
    let params = [Value::Int(1)];
    let invocation =
        Invocation { method: "same", params: (&params).into(), context: &context, permit: &permit };
    arena::with(|arena| {
        let answer = dispatcher.call(&snapshot, invocation, arena, &Unlimited).unwrap();
        assert_eq!(concurrency.enter("same").unwrap_err().code, code::OVERLOADED);
        assert_eq!(answer.and_then(Answer::into_value), Ok(Value::Int(1)));
        assert!(concurrency.enter("same").is_ok());

        let quick = dispatcher.quick(&snapshot, &invocation).unwrap();
        let answer = quick.answer(arena);
        assert_eq!(concurrency.enter("same").unwrap_err().code, code::OVERLOADED);
        drop(answer);
        assert!(concurrency.enter("same").is_ok());
    });
}

/// The dispatcher of the other tests, with `echo` and `big` each behind a gate.
fn gated() -> (Dispatcher, [Arc<Gate>; 2]) {
    let dispatcher = dispatcher(Limits::default());
    let gates = [Gate::new(|| ()), Gate::new(|| ())];
    let snapshot = dispatcher.registry().snapshot();
    let methods = snapshot.methods().cloned().map(|method| {
        let gate = ["echo", "big"].iter().position(|name| *name == method.info.name);
        Method { gate: gate.map(|index| Arc::clone(&gates[index])), ..method }
    });
    dispatcher.registry().publish(methods.collect());
    (dispatcher, gates)
}

#[test]
fn a_call_of_a_plugin_that_is_replaced_waits_and_others_do_not() {
    let (dispatcher, [echo, _]) = gated();
    let call = |method| dispatcher.ask(method, &[], &context(), &Permit::default(), &Unlimited);
    assert!(
        call("echo").is_ok() && call_quickly(&dispatcher, "echo", &Permit::default()).is_some()
    );
    echo.close(Pause::begin(), Some(Instant::now() + Duration::from_secs(600)));
    assert!(echo.is_drained(), "calls that have ended are not inside");
    assert!(
        call("echo").is_err() && call_quickly(&dispatcher, "echo", &Permit::default()).is_none()
    );
    assert!(call("big").is_ok() && call("fail").is_ok());
    let denied = Permit::of_tests(false, &["big"]);
    let answer = dispatcher.ask("echo", &[], &context(), &denied, &Unlimited);
    assert_eq!(
        answer.unwrap().unwrap_err().code,
        code::FORBIDDEN,
        "who may not call does not wait"
    );
    echo.close(Pause::begin(), Some(Instant::now()));
    assert!(call("echo").is_ok(), "nobody waits for too long: the instance says what is wrong");
}

#[test]
fn a_batch_enters_every_gate_or_none() {
    let (dispatcher, [echo, big]) = gated();
    let batch = |names: &[&str]| {
        let entries = names.iter().map(|name| entry(name, vec![]));
        let batch = Value::Array(entries.collect());
        dispatcher.ask("system.multicall", &[batch], &context(), &Permit::default(), &Unlimited)
    };
    assert!(batch(&["echo", "big", "echo", "fail"]).is_ok());
    big.close(Pause::begin(), Some(Instant::now() + Duration::from_secs(600)));
    assert!(batch(&["echo", "fail", "big"]).is_err());
    echo.close(Pause::over(), None);
    assert!(echo.is_drained(), "what it had entered it has left");
    assert!(batch(&["fail", "system.listMethods", "nobody"]).is_ok());
    let few = Value::Array(vec![Value::Int(1), Value::Nil, entry("fail", vec![])]);
    assert!(
        dispatcher
            .ask("system.multicall", &[few], &context(), &Permit::default(), &Unlimited)
            .is_ok()
    );
}
