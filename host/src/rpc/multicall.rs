//! `system.multicall`: several calls in one request, each answered or failed by itself.
//!
//! The whole batch sees one registry snapshot and shares one deadline and one limit of result size.

use super::builtins::{MULTICALL, only, wrong_params};
use super::scope::Scope;
use super::single::call_one;
use crate::arena;
use crate::limits::Limits;
use crate::xmlrpc::{self, EncodeOptions, Fault, Items, Resources, Stop, Tree, Value, View, code};

/// What a response takes around the results.
const FRAME_BYTES_MAX: usize = 512;
/// Memory per byte that a result takes in the response. No value needs more.
const HELD_BYTES_EACH: usize = 2;
/// Memory per byte of the response while it is encoded: the encoder grows its buffer by half.
const DOCUMENT_BYTES_EACH: usize = 2;

/// Runs a batch.
///
/// # Errors
/// Only for the batch as a whole: not one array, too many entries, too little memory for the
/// results, or faults that together are larger than a response may be. A failed entry, and one
/// whose result cannot be sent or does not fit any more, is a fault struct in the result.
pub(super) fn run(
    scope: &Scope<'_>,
    params: Items<'_>,
    limits: &Limits,
    encode: &EncodeOptions,
    resources: &dyn Resources,
) -> Result<Value, Fault> {
    // The value with its length in the response, if it can be sent and there is room for it.
    let held = |value: Value, bytes_max: usize| {
        let options = EncodeOptions { bytes_max, ..*encode };
        let bytes = xmlrpc::encoded_len(&value, &options, resources)?;
        resources
            .take(bytes.saturating_mul(HELD_BYTES_EACH + DOCUMENT_BYTES_EACH))
            .map_err(Stop::while_writing)?;
        Ok((value, bytes))
    };
    let Some(View::Array(entries)) = only(params) else {
        return Err(wrong_params(
            MULTICALL,
            "one array of structs with methodName and params",
            params,
        ));
    };
    if entries.len() > limits.multicall_calls_max {
        return Err(Fault::new(
            code::INVALID_PARAMS,
            format!(
                "{MULTICALL} takes at most {} calls; got {}",
                limits.multicall_calls_max,
                entries.len()
            ),
        ));
    }
    let bytes_max = encode.bytes_max.saturating_sub(FRAME_BYTES_MAX);
    let mut left = bytes_max;
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let (result, bytes) = run_entry(scope, entry)
            .and_then(|value| held(Value::Array(vec![value]), left))
            .or_else(|fault| held(xmlrpc::fault_value(&fault), left))?;
        left -= bytes;
        results.push(result);
    }
    // The response is encoded next, into this memory.
    resources.give_back((bytes_max - left).saturating_mul(DOCUMENT_BYTES_EACH));
    Ok(Value::Array(results))
}

/// The methods that a batch calls, as far as it names them.
pub(super) fn names(params: Items<'_>) -> impl Iterator<Item = &str> {
    let entries = match only(params) {
        Some(View::Array(entries)) => entries,
        _ => Items::NONE,
    };
    entries.iter().filter_map(|entry| match member(&entry.view().ok()?, "methodName")? {
        View::String(name) => Some(name),
        _ => None,
    })
}

fn run_entry(scope: &Scope<'_>, entry: Tree<'_>) -> Result<Value, Fault> {
    let entry = entry.view().unwrap_or(View::Nil);
    let name = match member(&entry, "methodName") {
        Some(View::String(name)) => name,
        Some(other) => return Err(invalid_entry("methodName wants string", other.type_name())),
        None => return Err(invalid_entry("a struct with methodName wanted", entry.type_name())),
    };
    let params = match member(&entry, "params") {
        Some(View::Array(params)) => params,
        Some(other) => return Err(invalid_entry("params wants array", other.type_name())),
        None => Items::NONE,
    };
    if name == MULTICALL {
        return Err(Fault::new(code::INVALID_REQUEST, format!("{MULTICALL} cannot call itself")));
    }
    scope.check(name)?;
    // What one entry needs beside its result is freed before the next one runs.
    arena::with(|arena| call_one(scope, name, params, arena)?.into_value())
}

fn member<'a>(entry: &View<'a>, name: &str) -> Option<View<'a>> {
    let View::Struct(members) = entry else { return None };
    members.get(name).ok()??.view().ok()
}

fn invalid_entry(wants: &str, got: &str) -> Fault {
    Fault::new(code::INVALID_PARAMS, format!("{wants}, got {got}"))
}
