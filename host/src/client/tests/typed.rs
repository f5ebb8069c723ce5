//! Rust types as parameters and results, batches, and what servers say of themselves.

use super::*;
use crate::client::introspect::{Capability, Signature};
use crate::xmlrpc::{DateTime, EncodeStyle, I8Style, NilStyle, decode_call, parse_date_time};
use hotcall_plugin::{Bytes, IntoValue};

#[derive(Debug, PartialEq, FromValue, IntoValue)]
struct Point {
    x: i32,
    label: Option<String>,
}

/// A call's result, and the parameters that went out.
fn exchange<T: for<'a> FromValue<'a>>(
    answer: &Value,
    params: impl Params,
) -> (Result<T, Error>, Vec<Value>) {
    let (address, server) = serve(vec![result(answer)]);
    let got = client(address).call("m", params);
    (got, sent(&server.join().unwrap()[0]))
}

fn sent(request: &Request) -> Vec<Value> {
    decode_call(&request.body, &DecodeLimits::default()).unwrap().params
}

fn pair(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

#[test]
fn parameters_are_tuples_values_and_single_ones() {
    let sent = |params| exchange::<()>(&Value::Nil, params).1;
    assert_eq!(exchange::<()>(&Value::Nil, ()).1, []);
    assert_eq!(sent(vec![Value::Int(1), "x".into()]), [Value::Int(1), "x".into()]);
    let (int, text) = (Value::Int(2), Value::from("x"));
    assert_eq!(exchange::<()>(&Value::Nil, (2, "x")).1, [int.clone(), text.clone()]);
    assert_eq!(
        exchange::<()>(&Value::Nil, [int.clone(), text.clone()]).1,
        [int.clone(), text.clone()]
    );
    assert_eq!(
        exchange::<()>(&Value::Nil, std::slice::from_ref(&int)).1,
        std::slice::from_ref(&int)
    );
    assert_eq!(exchange::<()>(&Value::Nil, "x").1, [text]);
    assert_eq!(exchange::<()>(&Value::Nil, 1_i64 << 40).1, [Value::Long(1 << 40)]);
    assert_eq!(exchange::<()>(&Value::Nil, Value::Array(vec![])).1, [Value::Array(vec![])]);
    assert_eq!(exchange::<()>(&Value::Nil, Bytes(vec![1])).1, [Value::Binary(vec![1])]);
    let date = DateTime::new(2026, 1, 31, 12, 0, 0).unwrap();
    assert_eq!(exchange::<()>(&Value::Nil, date).1, [Value::DateTime(date)]);
    let point = Point { x: 1, label: None };
    let members = vec![pair("x", Value::Int(1)), pair("label", Value::Nil)];
    let params = (vec![2], point, true);
    let expected = [Value::Array(vec![int]), Value::Struct(members), Value::Bool(true)];
    assert_eq!(exchange::<()>(&Value::Nil, params).1, expected);
}

#[test]
fn parameters_are_written_in_the_style() {
    let date = parse_date_time("2026-01-31T12:00:00.5+01:00").unwrap();
    let plain = EncodeStyle { nil: NilStyle::Ex, i8: I8Style::Ex, ..EncodeStyle::default() };
    for (style, parts) in [
        (None, [">20260131T12:00:00.5+01:00<", "<nil/>", "<i8>5</i8>"]),
        (Some(plain), [">20260131T11:00:00<", "<ex:nil/>", "<ex:i8>5</ex:i8>"]),
    ] {
        let (address, server) = serve(vec![result(&Value::Nil)]);
        let builder = Client::builder(&format!("http://{address}"));
        let builder = style.into_iter().fold(builder, Builder::style);
        builder.build().unwrap().call::<()>("m", (date, Value::Nil, 5_i64)).unwrap();
        let requests = server.join().unwrap();
        for part in parts {
            assert!(requests[0].body().contains(part), "{part}: {}", requests[0].body());
        }
    }
}

#[test]
fn results_become_what_is_wanted() {
    assert_eq!(exchange::<i64>(&Value::Int(5), (2, 3)).0.unwrap(), 5);
    assert_eq!(exchange::<Option<f64>>(&Value::Int(5), ()).0.unwrap(), Some(5.0));
    let point = Value::Struct(vec![pair("x", Value::Int(1)), pair("more", Value::Nil)]);
    assert_eq!(exchange::<Value>(&point, ()).0.unwrap(), point);
    let points = Value::Array(vec![point]);
    assert_eq!(exchange::<Vec<Point>>(&points, ()).0.unwrap(), [Point { x: 1, label: None }]);
}

#[test]
fn a_result_that_does_not_fit_says_method_types_and_place() {
    let (got, _) = exchange::<i32>(&Value::from("5"), ());
    let error = got.unwrap_err();
    assert!(matches!(error, Error::Mismatch(_)), "{error:?}");
    assert_eq!(error.to_string(), "the result of m wants int, got string");
    let (got, _) = exchange::<i8>(&Value::Int(500), ());
    assert_eq!(got.unwrap_err().to_string(), "the result of m wants int from -128 to 127, got 500");
    let points = Value::Array(vec![Value::Struct(vec![pair("x", Value::Bool(true))])]);
    let (got, _) = exchange::<Vec<Point>>(&points, ());
    assert_eq!(
        got.unwrap_err().to_string(),
        "the result of m, item 1, member x: wants int, got boolean"
    );
}

fn fault(code: Value, message: &str) -> Value {
    Value::Struct(vec![pair("faultCode", code), pair("faultString", message.into())])
}

fn one(result: Value) -> Value {
    Value::Array(vec![result])
}

#[test]
fn a_batch_is_split_and_its_results_stand_in_order() {
    let first = Value::Array(vec![one(Value::Int(5)), fault(Value::Long(4), "no")]);
    let second = Value::Array(vec![one(Value::from("x"))]);
    let (address, server) = serve(vec![result(&first), result(&second)]);
    let client = client(address);
    let mut batch = client.multicall();
    batch
        .calls_max(2)
        .add("add", (2, 3))
        .unwrap()
        .add("bad", ())
        .unwrap()
        .add("upper", "x")
        .unwrap();
    assert_eq!(batch.len(), 3);
    let results = batch.send::<Value>().unwrap();
    assert_eq!(results, [Ok(Value::Int(5)), Err(Fault::new(4, "no")), Ok(Value::from("x"))]);
    assert!(batch.is_empty());
    assert_eq!(batch.send::<Value>().unwrap(), [], "nothing is sent without a call");

    let call = |name: &str, params| {
        Value::Struct(vec![pair("methodName", name.into()), pair("params", Value::Array(params))])
    };
    let requests = server.join().unwrap();
    assert!(requests[0].body().contains("<methodName>system.multicall</methodName>"));
    let calls = vec![call("add", vec![Value::Int(2), Value::Int(3)]), call("bad", vec![])];
    assert_eq!(sent(&requests[0]), [Value::Array(calls)]);
    assert_eq!(sent(&requests[1]), [Value::Array(vec![call("upper", vec!["x".into()])])]);
}

#[test]
fn results_without_their_arrays_and_odd_faults_are_understood() {
    let (text, double) = (fault(Value::from(" 4 "), "no"), fault(Value::Double(6.0), "no"));
    let bare = Value::Struct(vec![pair("faultCode", Value::Int(5))]);
    let answer = Value::Array(vec![
        Value::Int(1),
        Value::Struct(vec![]),
        one(Value::Int(2)),
        text,
        bare,
        double,
    ]);
    let (address, server) = serve(vec![result(&answer)]);
    let client = client(address);
    let mut batch = client.multicall();
    for _ in 0..6 {
        batch.add("m", ()).unwrap();
    }
    let wanted = [
        Ok(Value::Int(1)),
        Ok(Value::Struct(vec![])),
        Ok(Value::Int(2)),
        Err(Fault::new(4, "no")),
        Err(Fault::new(5, "")),
        Err(Fault::new(6, "no")),
    ];
    assert_eq!(batch.send::<Value>().unwrap(), wanted);
    server.join().unwrap();
}

#[test]
fn an_answer_that_is_none_to_the_batch_is_refused() {
    for (answer, expected) in [
        (Value::Int(1), "system.multicall answered with int, not with an array"),
        (Value::Array(vec![]), "system.multicall gave 0 answers to 1 calls"),
        (one(Value::Array(vec![])), "system.multicall gave 0 results to one call"),
        (one(Value::Int(1)), "the result of call 1, upper, wants string, got int"),
        (
            one(fault(Value::from("x"), "no")),
            "system.multicall gave neither a result nor a fault to a call",
        ),
        (
            one(fault(Value::Double(5.5), "no")),
            "system.multicall gave neither a result nor a fault to a call",
        ),
        (one(one(Value::Int(1))), "the result of call 1, upper, wants string, got int"),
    ] {
        let (address, server) = serve(vec![result(&answer)]);
        let client = client(address);
        let error = client.multicall().add("upper", "x").unwrap().send::<String>().unwrap_err();
        assert_eq!(error.to_string(), expected);
        server.join().unwrap();
    }
}

#[test]
fn servers_are_asked_about_themselves() {
    let int = || Value::from("int");
    let signatures =
        Value::Array(vec![Value::Array(vec![int(), int(), int()]), Value::Array(vec![int()])]);
    let capability =
        Value::Struct(vec![pair("specUrl", "http://x".into()), pair("specVersion", Value::Int(1))]);
    let capabilities = Value::Struct(vec![pair("xmlrpc", capability), pair("odd", Value::Nil)]);
    let answers = [
        Value::Array(vec!["add".into()]),
        "Adds.".into(),
        signatures,
        "signatures not supported".into(),
        capabilities,
    ];
    let (address, server) = serve(answers.iter().map(result).collect());
    let client = client(address);
    assert_eq!(client.list_methods().unwrap(), ["add"]);
    assert_eq!(client.method_help("add").unwrap(), "Adds.");
    let signatures = client.method_signatures("add").unwrap();
    let shown: Vec<_> = signatures.iter().map(Signature::to_string).collect();
    assert_eq!(shown, ["(int, int) -> int", "() -> int"]);
    assert_eq!(client.method_signatures("add").unwrap(), []);
    let known =
        Capability { name: "xmlrpc".into(), spec_url: "http://x".into(), spec_version: "1".into() };
    let odd =
        Capability { name: "odd".into(), spec_url: String::new(), spec_version: String::new() };
    assert_eq!(client.capabilities().unwrap(), [known, odd]);
    server.join().unwrap();
}
