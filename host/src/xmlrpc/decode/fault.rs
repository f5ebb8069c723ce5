//! Values that stand for a fault. Must not know how they were read.

use super::scalars::trim;
use crate::xmlrpc::fault::Fault;
use hotcall_plugin::Value;

/// The fault that a struct with `faultCode` and `faultString` stands for, in a response or among a
/// batch's results. The code may be of any type that holds a number of 32 bits, the string may be
/// missing: some servers send them so.
pub(crate) fn fault_of(value: &Value) -> Option<Fault> {
    let code = match value.get("faultCode")? {
        Value::Int(code) => *code,
        Value::Long(code) => i32::try_from(*code).ok()?,
        // Languages with one kind of number send it so. Only a whole one is written like an int.
        Value::Double(code) => code.to_string().parse().ok()?,
        Value::String(code) => trim(code).parse().ok()?,
        _ => return None,
    };
    let message = match value.get("faultString") {
        Some(Value::String(message)) => message.clone(),
        _ => String::new(),
    };
    Some(Fault { code, message })
}
