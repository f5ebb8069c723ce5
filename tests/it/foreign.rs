//! Hotcall against what others wrote: their clients call our server, and our client calls their servers.

use crate::trial;
use hotcall::client::Error;
use hotcall::xmlrpc::{Value, parse_date_time};
use hotcall_tests::foreign::{self, ForeignServer, Language};
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    use Language::{C, Java, Node, Perl, Php, Python, Ruby};
    vec![
        client(Python, "foreign::python_calls_hotcall"),
        client(Perl, "foreign::perl_calls_hotcall"),
        client(Php, "foreign::php_calls_hotcall"),
        client(Ruby, "foreign::ruby_calls_hotcall"),
        client(Node, "foreign::node_calls_hotcall"),
        client(C, "foreign::c_calls_hotcall"),
        client(Java, "foreign::java_calls_hotcall"),
        needing(C, "foreign::the_xmlrpc_program_calls_hotcall", xmlrpc_program),
        needing(Python, "foreign::hotcall_calls_python_over_tls", python),
        needing(C, "foreign::hotcall_calls_abyss", || abyss(&[])),
        needing(C, "foreign::hotcall_calls_abyss_with_the_types_of_apache", || abyss(&["apache"])),
        needing(Perl, "foreign::hotcall_calls_perl", perl),
    ]
}

fn needing(language: Language, name: &str, test: fn()) -> Trial {
    trial(name, test).with_ignored_flag(language.is_left_out())
}

fn client(language: Language, name: &str) -> Trial {
    let test = move || {
        language.client(&served());
        Ok(())
    };
    Trial::test(name, test).with_ignored_flag(language.is_left_out())
}

fn served() -> Server {
    Setup::new()
        .plugin("interop.so", artifacts::plugin("interop"))
        .plugin("validator1.so", artifacts::plugin("validator1"))
        .start()
}

fn xmlrpc_program() {
    let server = served();
    let prints = |method: &str, arguments: &[&str], wanted: &str| {
        let printed = foreign::xmlrpc_program(&server, method, arguments);
        assert!(printed.trim_end().ends_with(wanted), "{method} {arguments:?}: {printed}");
    };
    prints("interopEchoTests.echoInteger", &["i/-5"], "Integer: -5");
    prints("interop.echoI8", &["I/1099511627776"], "64-bit integer: 1099511627776");
    prints("interopEchoTests.echoFloat", &["d/1.5"], "Floating Point: 1.500000");
    prints("interopEchoTests.echoString", &["s/<a> & \"b\""], "String: '<a> & \"b\"'");
    prints("interopEchoTests.echoBoolean", &["b/true"], "Boolean: TRUE");
    prints("interopEchoTests.echoBase64", &["h/00ff"], "Bit string: 00ff");
    prints("interop.echoNil", &["n/"], "Nil");
    prints("system.methodHelp", &["interop.echoNil"], "String: 'Answers with nil when it is given nil.'");
}

const TEXT: &str = " Zoë <b>&amp; \"it's\" ]]> €\n\ttwo  ";

/// Values of every type that needs no care.
fn values() -> Vec<Value> {
    let structure = |name: &str, value| Value::Struct(vec![(name.to_owned(), value)]);
    vec![
        Value::Int(0),
        Value::Int(i32::MIN),
        Value::Int(i32::MAX),
        Value::Double(-2.5),
        Value::Double(0.1),
        Value::from(""),
        Value::from(TEXT),
        Value::Bool(true),
        Value::Bool(false),
        Value::DateTime(parse_date_time("19980717T14:08:55").unwrap()),
        Value::Binary((0..=255).collect()),
        Value::Binary(vec![]),
        Value::Array(vec![]),
        Value::Array(vec![Value::Array(vec![Value::Int(1)]), Value::from(TEXT)]),
        Value::Struct(vec![]),
        structure("<&> ", structure("", Value::Array(vec![]))),
        Value::Nil,
    ]
}

fn echoes(server: &ForeignServer, method: &str, value: Value) {
    match server.call(method, std::slice::from_ref(&value)) {
        Ok(got) => assert_eq!(got, value, "{method}"),
        Err(error) => panic!("{method} of {value:?}: {error}"),
    }
}

fn fails(server: &ForeignServer, method: &str, params: &[Value], code: i32, text: &str) {
    match server.call(method, params) {
        Err(Error::Fault(fault)) if fault.code == code && fault.message.contains(text) => {}
        other => panic!("{method}: fault {code} ({text}) wanted, got {other:?}"),
    }
}

/// The three methods of introspection, asked about one method.
fn introspects(server: &ForeignServer, method: &str, help: &str, signatures: Value) {
    let Ok(Value::Array(names)) = server.call("system.listMethods", &[]) else {
        panic!("no list of methods")
    };
    assert!(names.contains(&method.into()), "{method} is not among {names:?}");
    assert_eq!(server.call("system.methodHelp", &[method.into()]).unwrap(), help.into());
    assert_eq!(server.call("system.methodSignature", &[method.into()]).unwrap(), signatures);
}

/// Two results and a fault between them, as all servers but Perl's answer.
fn batches(server: &ForeignServer) {
    let fail: &[Value] = &[Value::Int(8), "no".into()];
    let calls = batch(&[("echo", &[TEXT.into()]), ("fail", fail), ("echo", &[Value::Int(2)])]);
    let fault = vec![("faultCode".into(), Value::Int(8)), ("faultString".into(), "no".into())];
    let wanted = vec![one(TEXT), Value::Struct(fault), one(2)];
    assert_eq!(server.call("system.multicall", &calls).unwrap(), Value::Array(wanted));
}

fn batch(calls: &[(&str, &[Value])]) -> [Value; 1] {
    let call = |&(method, params): &(&str, &[Value])| {
        let params = Value::Array(params.to_vec());
        Value::Struct(vec![("methodName".into(), method.into()), ("params".into(), params)])
    };
    [Value::Array(calls.iter().map(call).collect())]
}

/// The only signature of a method.
fn signature(types: &[&str]) -> Value {
    one(types.iter().copied().map(Value::from).collect::<Vec<_>>())
}

fn one(value: impl Into<Value>) -> Value {
    Value::Array(vec![value.into()])
}

fn python() {
    let server = ForeignServer::start(Language::Python, &[]);
    for value in values() {
        echoes(&server, "echo", value);
    }
    echoes(&server, "echo", Value::from("past U+FFFF: \u{1f600}"));
    echoes(&server, "echo", Value::Double(5e-324));
    for long in [5, 1 << 40, i64::MIN] {
        echoes(&server, "long", Value::Long(long));
    }
    fails(&server, "fail", &[Value::Int(7), TEXT.into()], 7, TEXT);
    fails(&server, "no.such.method", &[], 1, "is not supported");

    introspects(
        &server,
        "echo",
        "Answers with the value that it is given.",
        "signatures not supported".into(),
    );
    batches(&server);
}

fn abyss(arguments: &[&str]) {
    let server = ForeignServer::start(Language::C, arguments);
    for value in values() {
        echoes(&server, "echo", value);
    }
    for long in [5, 1 << 40, i64::MIN] {
        echoes(&server, "echo", Value::Long(long));
    }
    fails(&server, "fail", &[Value::Int(7), TEXT.into()], 7, TEXT);
    fails(&server, "no.such.method", &[], -506, "no.such.method");

    introspects(&server, "fail", "Fails with this.", signature(&["nil", "int", "string"]));
    batches(&server);
}

fn perl() {
    let server = ForeignServer::start(Language::Perl, &[]);
    for value in values() {
        // A method for each type, named by it up to a dot.
        let method = format!("echo.{}", value.type_name().split('.').next().unwrap());
        echoes(&server, &method, value);
    }
    echoes(&server, "echo.string", Value::from("past U+FFFF: \u{1f600}"));
    for long in [5, 1 << 40, i64::MIN] {
        echoes(&server, "echo.i8", Value::Long(long));
    }
    fails(&server, "fail", &[Value::Int(7), TEXT.into()], 7, TEXT);
    fails(&server, "no.such.method", &[], 200, "no.such.method");

    introspects(&server, "echo.int", "Answers with its int.", signature(&["int", "int"]));

    // Unlike every other server it does not wrap the results. Where one is a fault it answers with a type that does
    // not exist, which is told as what it is.
    let calls = batch(&[("echo.string", &[TEXT.into()]), ("echo.int", &[Value::Int(2)])]);
    let wanted = Value::Array(vec![TEXT.into(), Value::Int(2)]);
    assert_eq!(server.call("system.multicall", &calls).unwrap(), wanted);
    let failing = batch(&[("echo.int", &[Value::Int(2)]), ("fail", &[Value::Int(8), "no".into()])]);
    match server.call("system.multicall", &failing) {
        Err(Error::Protocol(message)) => assert!(message.contains("<fault> is not a type"), "{message}"),
        other => panic!("{other:?}"),
    }
}
