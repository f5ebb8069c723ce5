//! Dispatch against instances that are plain closures.

mod gates;
mod quick;

use super::*;
use crate::access::Permit;
use crate::arena::{self, Arena};
use crate::limits::Limits;
use crate::pause::Pause;
use crate::queue::Key;
use crate::registry::{Answer, CallContext, Instance, Method, MethodInfo, Promise, Registry};
use crate::xmlrpc::{self, EncodeOptions, Fault, Items, Params, Resources, Unlimited, Value, code};
use hotcall_plugin::tree::Defect;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

struct Echo;

impl Instance for Echo {
    fn invoke<'a>(
        &'a self,
        index: usize,
        params: Items<'a>,
        _: &'a Arena,
        context: &'a CallContext,
    ) -> Result<Answer<'a>, Fault> {
        let params = Params::from(params).into_values();
        let result = match index {
            0 => Value::Array(params),
            1 => return Err(Fault::new(7, "always\u{1}")),
            3 => {
                while Instant::now() < context.deadline {
                    thread::yield_now();
                }
                Value::Nil
            }
            4 | 5 => {
                let [Value::Int(ms)] = *params else { panic!() };
                thread::sleep(Duration::from_millis(u64::try_from(ms).unwrap()));
                Value::Nil
            }
            6 => Value::Bool(wait_for_the_processor(Duration::from_millis(20))),
            _ => Value::String("x".repeat(1000)),
        };
        Ok(result.into())
    }

    fn refuse(&self, _: usize, defect: Defect, _: &CallContext) -> Fault {
        panic!("an owned result has {defect}")
    }
}

/// How long this thread has waited for a processor. None where Linux does not tell.
fn waited() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().nth(1)?.parse().ok()?))
}

/// Lets others run until this thread has waited for so long. `false` where Linux does not tell.
fn wait_for_the_processor(time: Duration) -> bool {
    let Some(before) = waited() else { return false };
    while waited().is_some_and(|now| now - before < time) {
        thread::yield_now();
    }
    true
}

/// Calls as a request makes them, with their results copied.
impl Dispatcher {
    fn ask<'a>(
        &self,
        method: &str,
        params: impl Into<Items<'a>>,
        context: &CallContext,
        permit: &Permit,
        resources: &dyn Resources,
    ) -> Result<Result<Value, Fault>, Pause> {
        let invocation = Invocation { method, params: params.into(), context, permit };
        let snapshot = self.registry().snapshot();
        arena::with(|arena| {
            let answer = self.call(&snapshot, invocation, arena, resources)?;
            Ok(answer.and_then(Answer::into_value))
        })
    }

    fn answer_quickly(
        &self,
        method: &str,
        params: &[Value],
        context: &CallContext,
        permit: &Permit,
    ) -> Option<Result<Value, Fault>> {
        let invocation = Invocation { method, params: params.into(), context, permit };
        let snapshot = self.registry().snapshot();
        let quick = self.quick(&snapshot, &invocation)?;
        let answer = arena::with(|arena| quick.answer(arena).and_then(Answer::into_value));
        Some(quick.end().and(answer))
    }
}

fn dispatcher(limits: Limits) -> Dispatcher {
    let registry = Arc::new(Registry::default());
    let instance: Arc<dyn Instance> = Arc::new(Echo);
    let method = |(index, name): (usize, &str)| Method {
        info: Arc::new(MethodInfo {
            name: name.to_owned(),
            help: format!("help of {name}"),
            signatures: if index == 0 { vec![vec!["array", "int"], vec!["array"]] } else { vec![] },
            ..MethodInfo::default()
        }),
        instance: instance.clone(),
        index,
        queue: Key::Plugin("echo".into()),
        gate: None,
        promise: Arc::new(Promise::new(["echo", "nap", "sleep", "yield"].contains(&name))),
    };
    let names = ["echo", "fail", "big", "late", "nap", "sleep", "yield"];
    registry.publish(names.into_iter().enumerate().map(method).collect());
    Dispatcher::new(registry, limits)
}

fn context() -> CallContext {
    CallContext::of_the_server("test", Instant::now() + Duration::from_secs(60))
}

fn call(method: &str, params: &[Value]) -> Result<Value, Fault> {
    dispatcher(Limits::default())
        .ask(method, params, &context(), &Permit::default(), &Unlimited)
        .unwrap()
}

fn entry(name: &str, params: Vec<Value>) -> Value {
    Value::Struct(vec![("methodName".into(), name.into()), ("params".into(), params.into())])
}

#[test]
fn finds_and_misses() {
    assert_eq!(call("echo", &[Value::Int(1)]), Ok(Value::Array(vec![Value::Int(1)])));
    assert_eq!(call("fail", &[]), Err(Fault::new(7, "always\u{1}")));
    let fault = call("nope", &[]).unwrap_err();
    assert_eq!(fault.code, code::METHOD_NOT_FOUND);
    assert!(fault.message.contains("\"nope\""), "{fault}");
    assert!(call(&"n".repeat(5000), &[]).unwrap_err().message.len() < 300);
}

#[test]
fn a_passed_deadline_is_a_fault() {
    let late = CallContext { deadline: Instant::now(), ..context() };
    let fault = dispatcher(Limits::default())
        .ask("echo", &[], &late, &Permit::default(), &Unlimited)
        .unwrap()
        .unwrap_err();
    assert_eq!(fault.code, code::DEADLINE);
}

#[test]
fn an_answer_after_the_deadline_is_a_fault() {
    let soon = CallContext { deadline: Instant::now() + Duration::from_millis(20), ..context() };
    let fault = dispatcher(Limits::default())
        .ask("late", &[], &soon, &Permit::default(), &Unlimited)
        .unwrap()
        .unwrap_err();
    assert_eq!(fault.code, code::DEADLINE);
}

#[test]
fn introspection() {
    let own = ["big", "echo", "fail", "late", "nap", "sleep"];
    let names = own.into_iter().chain(BUILTIN_NAMES).chain(["yield"]);
    assert_eq!(call("system.listMethods", &[]), Ok(Value::Array(names.map(Value::from).collect())));
    assert_eq!(call("system.methodHelp", &["echo".into()]), Ok("help of echo".into()));
    assert_eq!(call("system.methodSignature", &["fail".into()]), Ok("undef".into()));
    let signatures = Value::Array(vec![
        Value::Array(vec!["array".into(), "int".into()]),
        Value::Array(vec!["array".into()]),
    ]);
    assert_eq!(call("system.methodSignature", &["echo".into()]), Ok(signatures));
    for builtin in BUILTIN_NAMES {
        assert!(
            matches!(call("system.methodHelp", &[builtin.into()]), Ok(Value::String(_))),
            "{builtin}"
        );
        assert!(matches!(call("system.methodSignature", &[builtin.into()]), Ok(Value::Array(_))));
    }
    assert_eq!(
        call("system.methodHelp", &["nope".into()]).unwrap_err().code,
        code::METHOD_NOT_FOUND
    );
    assert_eq!(call("system.methodHelp", &[Value::Int(1)]).unwrap_err().code, code::INVALID_PARAMS);
    assert_eq!(call("system.listMethods", &[Value::Nil]).unwrap_err().code, code::INVALID_PARAMS);
    let capabilities = call("system.getCapabilities", &[]).unwrap();
    for wanted in ["faults_interop", "i8", "introspection", "multicall", "nil", "xmlrpc"] {
        let about = capabilities.get(wanted).unwrap_or_else(|| panic!("{wanted}"));
        assert!(
            matches!(about.get("specUrl"), Some(Value::String(url)) if url.starts_with("http")),
            "{wanted}"
        );
        assert!(matches!(about.get("specVersion"), Some(Value::Int(1..))), "{wanted}");
    }
    for (name, exists) in
        [("echo", true), ("system.multicall", true), ("nope", false), ("hotcall.plugins", false)]
    {
        assert_eq!(call("system.methodExist", &[name.into()]), Ok(Value::Bool(exists)), "{name}");
    }
    assert_eq!(call("system.methodExist", &[]).unwrap_err().code, code::INVALID_PARAMS);
    assert_eq!(
        call("system.identity", &[]),
        Ok(concat!("Hotcall/", env!("CARGO_PKG_VERSION")).into())
    );
}

const BUILTIN_NAMES: [&str; 7] = [
    "system.getCapabilities",
    "system.identity",
    "system.listMethods",
    "system.methodExist",
    "system.methodHelp",
    "system.methodSignature",
    "system.multicall",
];

#[test]
fn multicall_isolates_its_entries() {
    let batch = vec![
        entry("echo", vec![Value::Int(1)]),
        entry("fail", vec![]),
        entry("nope", vec![]),
        entry("system.multicall", vec![Value::Array(vec![])]),
        Value::Int(3),
        Value::Struct(vec![("methodName".into(), "echo".into())]),
        Value::Struct(vec![("methodName".into(), "echo".into()), ("params".into(), Value::Int(1))]),
        entry("system.methodHelp", vec!["echo".into()]),
        entry("echo", vec!["\u{1}".into()]),
        entry("echo", vec![Value::Double(f64::NAN)]),
        entry("big", vec![]),
    ];
    let Ok(Value::Array(results)) = call("system.multicall", &[Value::Array(batch)]) else {
        panic!()
    };
    assert!(
        xmlrpc::encode_response(&Value::Array(results.clone()), &EncodeOptions::default()).is_ok()
    );
    let code_of = |index: usize| results[index].get("faultCode").cloned();
    assert_eq!(results.len(), 11);
    assert_eq!(results[0], Value::Array(vec![Value::Array(vec![Value::Int(1)])]));
    assert_eq!(code_of(1), Some(Value::Int(7)));
    assert_eq!(code_of(2), Some(Value::Int(code::METHOD_NOT_FOUND)));
    assert_eq!(code_of(3), Some(Value::Int(code::INVALID_REQUEST)));
    assert_eq!(code_of(4), Some(Value::Int(code::INVALID_PARAMS)));
    assert_eq!(results[5], Value::Array(vec![Value::Array(vec![])]));
    assert_eq!(code_of(6), Some(Value::Int(code::INVALID_PARAMS)));
    assert_eq!(results[7], Value::Array(vec!["help of echo".into()]));
    assert_eq!(
        (code_of(8), code_of(9)),
        (Some(code::APPLICATION.into()), Some(code::APPLICATION.into()))
    );
    assert_eq!(code_of(10), None);
}

#[test]
fn multicall_has_limits() {
    let few = dispatcher(Limits { multicall_calls_max: 2, ..Limits::default() });
    let batch = |count| [Value::Array(vec![entry("big", vec![]); count])];
    assert!(
        few.ask("system.multicall", &batch(2), &context(), &Permit::default(), &Unlimited)
            .unwrap()
            .is_ok()
    );
    assert_eq!(
        few.ask("system.multicall", &batch(3), &context(), &Permit::default(), &Unlimited)
            .unwrap()
            .unwrap_err()
            .code,
        code::INVALID_PARAMS
    );
    let bytes_max = 3_500;
    let small = dispatcher(Limits { response_bytes_max: bytes_max, ..Limits::default() });
    let Ok(Value::Array(results)) = small
        .ask("system.multicall", &batch(4), &context(), &Permit::default(), &Unlimited)
        .unwrap()
    else {
        panic!()
    };
    let too_large = Some(Value::Int(code::RESPONSE_TOO_LARGE));
    let codes: Vec<_> = results.iter().map(|result| result.get("faultCode").cloned()).collect();
    assert_eq!(codes, [None, None, too_large.clone(), too_large], "what fits is answered");
    let response = xmlrpc::encode_response(&Value::Array(results), small.encode_options()).unwrap();
    assert!(response.len() <= bytes_max);
    // Where not even the faults fit, the batch is one.
    assert_eq!(
        small
            .ask("system.multicall", &batch(100), &context(), &Permit::default(), &Unlimited)
            .unwrap()
            .unwrap_err()
            .code,
        code::RESPONSE_TOO_LARGE
    );
    assert_eq!(call("system.multicall", &[]).unwrap_err().code, code::INVALID_PARAMS);
}

/// Answers with what it is asked.
struct Recorder;

impl crate::registry::Control for Recorder {
    fn plugins(&self) -> Value {
        Value::Array(vec!["p".into()])
    }

    fn reload(&self, plugin: &str, _: Instant) -> Result<Value, Fault> {
        if plugin == "p" {
            Ok(plugin.into())
        } else {
            Err(Fault::new(code::INVALID_PARAMS, "no such"))
        }
    }
}

#[test]
fn the_server_s_own_affairs_are_for_operators() {
    let dispatcher = dispatcher(Limits::default()).with_control(Arc::new(Recorder));
    let operator = Permit::of_tests(true, &[]);
    let call = |method: &str, params: &[Value]| {
        dispatcher.ask(method, params, &context(), &operator, &Unlimited).unwrap()
    };
    assert_eq!(call("hotcall.plugins", &[]), Ok(Value::Array(vec!["p".into()])));
    assert_eq!(call("hotcall.reload", &["p".into()]), Ok("p".into()));
    assert_eq!(call("hotcall.reload", &["q".into()]).unwrap_err().message, "no such");
    assert_eq!(call("hotcall.reload", &[]).unwrap_err().code, code::INVALID_PARAMS);
    assert_eq!(call("hotcall.plugins", &[Value::Nil]).unwrap_err().code, code::INVALID_PARAMS);
    assert_eq!(call("hotcall.nope", &[]).unwrap_err().code, code::METHOD_NOT_FOUND);
    let own = ["hotcall.plugins", "hotcall.reload"];
    let Ok(Value::Array(names)) = call("system.listMethods", &[]) else { panic!() };
    for name in own {
        assert!(names.contains(&name.into()), "{name}");
        assert!(
            matches!(call("system.methodHelp", &[name.into()]), Ok(Value::String(_))),
            "{name}"
        );
    }

    let call = |method: &str, params: &[Value]| {
        dispatcher.ask(method, params, &context(), &Permit::default(), &Unlimited).unwrap()
    };
    let Ok(Value::Array(names)) = call("system.listMethods", &[]) else { panic!() };
    for name in own {
        assert!(!names.contains(&name.into()), "{name}");
        assert_eq!(
            call("system.methodHelp", &[name.into()]).unwrap_err().code,
            code::METHOD_NOT_FOUND
        );
        let fault = call(name, &["p".into()]).unwrap_err();
        assert_eq!(fault.code, code::METHOD_NOT_FOUND);
        assert!(fault.message.contains("Unix sockets only"), "{fault}");
        let batch = [Value::Array(vec![entry(name, vec!["p".into()])])];
        let Ok(Value::Array(results)) = call("system.multicall", &batch) else { panic!() };
        assert_eq!(results[0].get("faultCode"), Some(&Value::Int(code::METHOD_NOT_FOUND)));
    }
}

#[test]
fn what_is_denied_waits_in_no_plugin_s_queue() {
    let dispatcher = dispatcher(Limits::default());
    let batch = [Value::Array(vec![entry("echo", vec![1.into()])])];
    let snapshot = dispatcher.registry().snapshot();
    for (allowed, expected) in [("echo", Key::Plugin("echo".into())), ("other", Key::Server)] {
        let permit = Permit::of_tests(false, &[allowed]);
        for (method, params) in [("echo", &[][..]), ("system.multicall", &batch)] {
            let context = context();
            let params = params.into();
            let invocation = Invocation { method, params, context: &context, permit: &permit };
            assert_eq!(queue_of(&snapshot, &invocation), expected, "{method}, {allowed}");
        }
    }
}

#[test]
fn what_is_denied_is_not_told() {
    let dispatcher = dispatcher(Limits::default()).with_control(Arc::new(Recorder));
    let permit = Permit::of_tests(false, &["echo", "hotcall.plugins"]);
    let call = |method: &str, params: &[Value]| {
        dispatcher.ask(method, params, &context(), &permit, &Unlimited).unwrap()
    };
    let code_of = |result: Result<Value, Fault>| result.map_err(|fault| fault.code);
    let rows = [
        ("echo", vec![], true),
        ("hotcall.plugins", vec![], true),
        ("hotcall.reload", vec!["p".into()], false),
        ("fail", vec![], false),
        ("nope", vec![], false),
    ];
    let Ok(Value::Array(names)) = call("system.listMethods", &[]) else { panic!() };
    for (name, params, is_allowed) in rows {
        let forbidden = Err(code::FORBIDDEN);
        assert_eq!(code_of(call(name, &params)) != forbidden, is_allowed, "{name}");
        let batch = [Value::Array(vec![entry(name, params)])];
        let Ok(Value::Array(results)) = call("system.multicall", &batch) else { panic!() };
        assert_eq!(results[0].get("faultCode").is_none(), is_allowed, "{name}");
        assert_eq!(names.contains(&name.into()), is_allowed, "{name}");
        assert_eq!(call("system.methodExist", &[name.into()]), Ok(is_allowed.into()), "{name}");
        for method in ["system.methodHelp", "system.methodSignature"] {
            let told = code_of(call(method, &[name.into()]));
            assert_eq!(told.is_ok(), is_allowed, "{method} {name}");
            assert!(is_allowed || told == Err(code::METHOD_NOT_FOUND), "{method} {name}");
        }
    }
}

/// What is answered at once, if it is.
fn call_quickly(
    dispatcher: &Dispatcher,
    method: &str,
    permit: &Permit,
) -> Option<Result<Value, Fault>> {
    dispatcher.answer_quickly(method, &[], &context(), permit)
}
