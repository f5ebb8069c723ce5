//! `system.multicall`: several calls in one request, each answered or failed by itself.
//!
//! The whole batch sees one registry snapshot and shares one deadline and one limit of result size.

use super::{Scope, call_one, system::wrong_params};
use crate::limits::Limits;
use crate::xmlrpc::{Fault, Value, code};

pub(super) const NAME: &str = "system.multicall";

/// Runs a batch.
///
/// # Errors
/// Only for the batch as a whole: not one array, too many entries, or results that together are larger than a
/// response may be. A failed entry is a fault struct in the result.
pub(super) fn run(scope: &Scope<'_>, params: &[Value], limits: &Limits) -> Result<Value, Fault> {
    let [Value::Array(entries)] = params else {
        return Err(wrong_params(NAME, "one array of structs with methodName and params", params));
    };
    if entries.len() > limits.multicall_calls_max {
        return Err(Fault::new(
            code::INVALID_PARAMS,
            format!("{NAME} takes at most {} calls; got {}", limits.multicall_calls_max, entries.len()),
        ));
    }
    let mut bytes = 0;
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        let result = match run_entry(scope, entry) {
            Ok(value) => Value::Array(vec![value]),
            Err(fault) => fault_struct(fault),
        };
        bytes += bytes_at_least(&result);
        if bytes > limits.response_bytes_max {
            return Err(Fault::new(
                code::RESPONSE_TOO_LARGE,
                format!("the results are larger than {} bytes together", limits.response_bytes_max),
            ));
        }
        results.push(result);
    }
    Ok(Value::Array(results))
}

fn run_entry(scope: &Scope<'_>, entry: &Value) -> Result<Value, Fault> {
    let name = match entry.get("methodName") {
        Some(Value::String(name)) => name,
        Some(other) => return Err(invalid_entry("methodName wants string", other.type_name())),
        None => return Err(invalid_entry("a struct with methodName wanted", entry.type_name())),
    };
    let params = match entry.get("params") {
        Some(Value::Array(params)) => params.as_slice(),
        Some(other) => return Err(invalid_entry("params wants array", other.type_name())),
        None => &[],
    };
    if name == NAME {
        return Err(Fault::new(code::INVALID_REQUEST, format!("{NAME} cannot call itself")));
    }
    scope.check(name)?;
    call_one(scope, name, params)
}

fn invalid_entry(wants: &str, got: &str) -> Fault {
    Fault::new(code::INVALID_PARAMS, format!("{wants}, got {got}"))
}

fn fault_struct(fault: Fault) -> Value {
    Value::Struct(vec![("faultCode".into(), fault.code.into()), ("faultString".into(), fault.message.into())])
}

/// What the value takes in a response at the least: keeps a batch's memory near the response limit.
fn bytes_at_least(value: &Value) -> usize {
    /// `<value><i4>0</i4></value>` and its kin.
    const SCALAR: usize = 24;
    SCALAR
        + match value {
            Value::String(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            Value::Array(items) => items.iter().map(bytes_at_least).sum(),
            Value::Struct(members) => {
                members.iter().map(|(name, value)| name.len() + bytes_at_least(value)).sum()
            }
            _ => 0,
        }
}
