//! The grammar of XML-RPC's documents, `<methodCall>` and `<methodResponse>`. Must not know bytes.

use super::call::Call;
use super::elements::Decoder;
use super::error::DecodeError;
use super::fault::fault_of;
use super::reader::{Event, shown};
use super::scalars;
use crate::xmlrpc::fault::Fault;
use hotcall_plugin::{Value, abi};

/// Reads a `<methodCall>`.
pub(super) fn call(decoder: &mut Decoder<'_>) -> Result<Call, DecodeError> {
    root(decoder, "methodCall")?;
    let (mut method, mut given) = (None, None);
    while let Some(name) = decoder.child("methodCall")? {
        match name.as_str() {
            "methodName" if method.is_none() => method = Some(method_name(decoder)?),
            "params" if given.is_none() => given = Some(params(decoder)?),
            _ => return Err(decoder.misplaced(&name, "methodCall")),
        }
    }
    end(decoder)?;
    let method = method.ok_or_else(|| decoder.invalid("<methodCall> has no <methodName>"))?;
    Ok(Call { method, params: given.unwrap_or_default() })
}

/// Reads a `<methodResponse>`.
pub(super) fn response(decoder: &mut Decoder<'_>) -> Result<Result<Value, Fault>, DecodeError> {
    root(decoder, "methodResponse")?;
    let response = match decoder.child("methodResponse")?.as_deref() {
        Some("params") => {
            let mut given = params(decoder)?;
            if given.len() > 1 {
                return Err(decoder.invalid("<methodResponse> holds more than one value"));
            }
            // Servers of languages with procedures leave the value out.
            Ok(given.pop().unwrap_or_default())
        }
        Some("fault") => {
            decoder.only_child("fault", "value")?;
            let value = decoder.value()?;
            decoder.close("fault")?;
            Err(fault(decoder, &value)?)
        }
        Some(name) => return Err(decoder.misplaced(name, "methodResponse")),
        None => return Err(decoder.invalid("<methodResponse> holds neither <params> nor <fault>")),
    };
    decoder.close("methodResponse")?;
    end(decoder)?;
    Ok(response)
}

fn method_name(decoder: &mut Decoder<'_>) -> Result<String, DecodeError> {
    let name = decoder.text("methodName")?;
    let name = scalars::trim(&name);
    if name.is_empty() {
        return Err(decoder.invalid("<methodName> is empty"));
    }
    if name.len() > decoder.limits.method_bytes_max {
        let max = decoder.limits.method_bytes_max;
        return Err(decoder.invalid(format!("<methodName> is longer than {max} bytes")));
    }
    Ok(name.to_owned())
}

fn params(decoder: &mut Decoder<'_>) -> Result<Vec<Value>, DecodeError> {
    let mut params = Vec::new();
    while let Some(name) = decoder.child("params")? {
        if name != "param" {
            return Err(decoder.misplaced(&name, "params"));
        }
        decoder.only_child("param", "value")?;
        let param = decoder.value()?;
        decoder.make_room(&mut params, size_of::<abi::Value>())?;
        params.push(param);
        decoder.close("param")?;
    }
    Ok(params)
}

fn fault(decoder: &Decoder<'_>, value: &Value) -> Result<Fault, DecodeError> {
    fault_of(value)
        .ok_or_else(|| decoder.invalid("<fault> has no faultCode that is a number of 32 bits"))
}

fn root(decoder: &mut Decoder<'_>, expected: &str) -> Result<(), DecodeError> {
    match decoder.reader.tag("the document")? {
        Event::Open(name) if name == expected => Ok(()),
        Event::Open(name) => {
            Err(decoder
                .invalid(format!("the document is a <{}>, not a <{expected}>", shown(&name))))
        }
        _ => Err(decoder.invalid(format!("the document has no <{expected}>"))),
    }
}

/// Reads to the document's end, past comments: whatever else follows the root is refused.
fn end(decoder: &mut Decoder<'_>) -> Result<(), DecodeError> {
    match decoder.reader.tag("the document")? {
        Event::End => Ok(()),
        _ => Err(decoder.invalid("the document goes on after its root element")),
    }
}
