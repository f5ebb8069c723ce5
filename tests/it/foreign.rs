//! Hotcall against what others wrote: their clients call our server, and our client calls their
//! servers.

use crate::trial::trial;
use hotcall::client::{Capability, Error};
use hotcall::xmlrpc::{DateTime, EncodeStyle, Fault, Value, parse_date_time};
use hotcall_plugin::{Bytes, FromValue, IntoValue};
use hotcall_tests::foreign::{self, ForeignServer, Language};
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;
use std::collections::BTreeMap;

pub fn trials() -> Vec<Trial> {
    use Language::{C, Java, Node, Perl, Php, Python, Ruby};
    vec![
        needing(Python, "foreign::no_module_of_ours_shadows_one_of_python", || {
            artifacts::run(&mut foreign::python_module("names"));
        }),
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
    prints(
        "system.methodHelp",
        &["interop.echoNil"],
        "String: 'Answers with nil when it is given nil.'",
    );
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
fn introspects(server: &ForeignServer, method: &str, help: &str, signatures: &[&str]) {
    let client = server.client();
    let names = client.list_methods().unwrap();
    assert!(names.iter().any(|name| name == method), "{method} is not among {names:?}");
    assert_eq!(client.method_help(method).unwrap(), help);
    let told: Vec<String> =
        client.method_signatures(method).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(told, signatures);
}

/// Results of one type as a Rust type, of several as values, and a fault between results.
fn batches(server: &ForeignServer) {
    let mut batch = server.client().multicall();
    batch.add("echo", TEXT).unwrap().add("fail", (8, "no")).unwrap().add("echo", 2).unwrap();
    let results = batch.send::<Value>().unwrap();
    assert_eq!(results, [Ok(TEXT.into()), Err(Fault::new(8, "no")), Ok(Value::Int(2))]);

    batch.add("echo", 1).unwrap().add("echo", 2).unwrap();
    assert_eq!(batch.send::<i32>().unwrap(), [Ok(1), Ok(2)]);
    batch.add("echo", TEXT).unwrap();
    assert!(matches!(batch.send::<i32>(), Err(Error::Mismatch(_))));

    // Of every type, in two requests.
    for value in values() {
        batch.add("echo", value).unwrap();
    }
    let results: Vec<Value> =
        batch.calls_max(10).send().unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(results, values());
}

#[derive(Clone, Debug, PartialEq, FromValue, IntoValue)]
struct Pet {
    name: String,
    age: Option<i32>,
    born: DateTime,
    weights: Vec<f64>,
}

/// Rust types there and back, and one that does not fit. `echo` names the method for a type.
fn types(server: &ForeignServer, echo: impl Fn(&'static str) -> &'static str) {
    let client = server.client();
    let born = parse_date_time("19980717T14:08:55").unwrap();
    assert_eq!(client.call::<i32>(echo("int"), 5).unwrap(), 5);
    assert_eq!(client.call::<i64>(echo("i8"), 1_i64 << 40).unwrap(), 1 << 40);
    assert!(client.call::<bool>(echo("boolean"), true).unwrap());
    assert_eq!(client.call::<f64>(echo("double"), 0.1).unwrap(), 0.1);
    assert_eq!(client.call::<String>(echo("string"), TEXT).unwrap(), TEXT);
    assert_eq!(client.call::<DateTime>(echo("dateTime"), born).unwrap(), born);
    assert_eq!(
        client.call::<Bytes>(echo("base64"), (&b"a\0b"[..],)).unwrap(),
        Bytes(b"a\0b".to_vec())
    );
    assert_eq!(client.call::<Option<i32>>(echo("nil"), (None::<i32>,)).unwrap(), None);
    client.call::<()>(echo("nil"), Value::Nil).unwrap();
    assert_eq!(client.call::<Vec<i32>>(echo("array"), (vec![1, 2],)).unwrap(), [1, 2]);
    let ages = BTreeMap::from([("ann".to_owned(), 7)]);
    assert_eq!(
        client.call::<BTreeMap<String, i32>>(echo("struct"), (ages.clone(),)).unwrap(),
        ages
    );
    let pet = Pet { name: TEXT.into(), age: None, born, weights: vec![0.5, -2.5] };
    assert_eq!(client.call::<Pet>(echo("struct"), (pet.clone(),)).unwrap(), pet);

    assert!(matches!(client.call::<i32>(echo("string"), TEXT), Err(Error::Mismatch(_))));
    match client.call::<i32>("fail", (7, TEXT)) {
        Err(Error::Fault(fault)) => assert_eq!(fault, Fault::new(7, TEXT)),
        other => panic!("{other:?}"),
    }
}

/// A date past its second: in the specification's form every server reads it. As it is, it is for
/// the server to read.
fn dates(server: &ForeignServer, echo: &str) -> Result<DateTime, Error> {
    let date = parse_date_time("1998-07-17T16:08:55.5+02:00").unwrap();
    let plain = server.builder().style(EncodeStyle::default()).build().unwrap();
    assert_eq!(plain.call::<DateTime>(echo, date).unwrap().to_string(), "19980717T14:08:55");
    server.client().call(echo, date)
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

    introspects(&server, "echo", "Answers with the value that it is given.", &[]);
    assert!(matches!(server.client().capabilities(), Err(Error::Fault(_))), "it has none to tell");
    batches(&server);
    types(&server, |ty| if ty == "i8" { "long" } else { "echo" });
    assert!(matches!(dates(&server, "echo"), Err(Error::Fault(_))));
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

    introspects(&server, "fail", "Fails with this.", &["(int, string) -> nil"]);
    let can = server.client().capabilities().unwrap();
    assert!(can.iter().any(|Capability { name, .. }| name == "introspect"), "{can:?}");
    batches(&server);
    types(&server, |_| "echo");
    assert!(matches!(dates(&server, "echo"), Err(Error::Fault(_))));
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

    introspects(&server, "echo.int", "Answers with its int.", &["(int) -> int"]);
    types(&server, |ty| match ty {
        "int" => "echo.int",
        "i8" => "echo.i8",
        "boolean" => "echo.boolean",
        "double" => "echo.double",
        "dateTime" => "echo.dateTime",
        "base64" => "echo.base64",
        "nil" => "echo.nil",
        "array" => "echo.array",
        "struct" => "echo.struct",
        _ => "echo.string",
    });
    assert_eq!(dates(&server, "echo.dateTime").unwrap().to_string(), "19980717T16:08:55.5+02:00");

    // Unlike every other server it does not wrap the results. Where one is a fault it answers with
    // a type that does not exist, which is told as what it is.
    let mut batch = server.client().multicall();
    batch.add("echo.string", TEXT).unwrap().add("echo.int", 2).unwrap();
    assert_eq!(batch.send::<Value>().unwrap(), [Ok(TEXT.into()), Ok(Value::Int(2))]);
    batch.add("echo.int", 2).unwrap().add("fail", (8, "no")).unwrap();
    match batch.send::<Value>() {
        Err(Error::Protocol(message)) => {
            assert!(message.contains("<fault> is not a type"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}
