//! Documents to calls and answers. Must not know of sockets, methods or plugins.
//!
//! `encoding` turns bytes into UTF-8, `reader` that into the few XML events that matter, `namespaces`
//! limits their declarations, `values` builds values from them, `scalars` reads the text of one
//! scalar, `doctype` refuses entities, `passed` tells which limit of XML's own a document passed, and
//! a `call` is what a request comes to. Here is the grammar: `<methodCall>` and `<methodResponse>`.
//!
//! `fast` reads what clients really send by a way of its own. It is tried first, and what it leaves is read as if it were not
//! there.

mod call;
#[cfg(test)]
mod costs;
mod doctype;
mod encoding;
mod fast;
mod namespaces;
mod passed;
mod reader;
mod scalars;
#[cfg(test)]
mod tests;
mod values;

use super::lent::Store;
use super::resources::{Meter, Resources, Stop, Unlimited};
use super::{Fault, Value, code};
pub use call::{BorrowedCall, Call, Params};
pub use encoding::Document;
use hotcall_plugin::abi;
use reader::{Event, Reader};
use std::fmt;

/// How much of a document is read before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The whole document.
    pub bytes_max: usize,
    /// Arrays and structs within each other; past 2,000 it counts as 2,000.
    pub depth_max: usize,
    /// Values of all kinds together.
    pub values_max: usize,
    /// One text: a string, a base64 text.
    pub text_bytes_max: usize,
    /// The method's name.
    pub method_bytes_max: usize,
    /// The name of a struct's member.
    pub name_bytes_max: usize,
    /// The name of an element or of an attribute, as XML has it, with its prefix.
    pub element_name_bytes_max: usize,
    /// The value of an attribute.
    pub attribute_bytes_max: usize,
    /// Attributes of one element. XML-RPC has none; declarations of namespaces do not count.
    pub attributes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            depth_max: 128,
            values_max: 1_000_000,
            text_bytes_max: 64 << 20,
            method_bytes_max: 1_024,
            name_bytes_max: 65_536,
            element_name_bytes_max: 256,
            attribute_bytes_max: 4_096,
            attributes_max: 64,
        }
    }
}

/// Values are dropped, compared and printed by recursion, which must not end a thread whatever the limits say.
const DEPTH_CEILING: usize = 2_000;

/// Why a document is not what it should be. Small, whatever the document was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// One of [`code`](super::code).
    pub code: i32,
    /// What is wrong, and where.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::new(error.code, error.message)
    }
}

/// Reads a request document.
///
/// # Errors
/// The fault to answer with: its message says what is wrong and at which line and column.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{DecodeLimits, Value, decode_call};
/// let document = b"<methodCall><methodName>add</methodName><params>
///     <param><value><int>2</int></value></param><param><value>three</value></param></params></methodCall>";
/// let call = decode_call(document, &DecodeLimits::default()).unwrap();
/// assert_eq!(call.method, "add");
/// assert_eq!(call.params, [Value::Int(2), Value::from("three")]);
/// ```
pub fn decode_call<'a>(document: impl Into<Document<'a>>, limits: &DecodeLimits) -> Result<Call, Fault> {
    let document = document.into();
    Store::with(|store| decode_call_in(document, limits, store, &Unlimited).map(BorrowedCall::into_owned))
}

/// As [`decode_call`], without copying what may stay in the document. The store is for the rest.
/// Reserves memory from `resources` before it allocates, and checks them regularly.
///
/// # Errors
/// Those of [`decode_call`]; -32000 and -32001 when the resources stop it.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{DecodeLimits, Store, Unlimited, decode_call_in};
/// let document = b"<methodCall><methodName>add</methodName><params>
///     <param><value><int>2</int></value></param><param><value>three</value></param></params></methodCall>";
/// Store::with(|store| {
///     let call = decode_call_in(document, &DecodeLimits::default(), store, &Unlimited).unwrap();
///     assert_eq!((&*call.method, call.params.items().len()), ("add", 2));
/// });
/// ```
pub fn decode_call_in<'a>(
    document: impl Into<Document<'a>>,
    limits: &DecodeLimits,
    store: &'a Store,
    resources: &dyn Resources,
) -> Result<BorrowedCall<'a>, Fault> {
    Ok(decode(document.into(), limits, store, resources, &call_ways())?)
}

/// Like [`decode_call_in`], for threads that must not wait. Returns `None` for a document that the
/// fast decoder leaves to xml-rs.
///
/// # Errors
/// Those of [`decode_call_in`].
pub fn decode_call_quickly<'a>(
    document: impl Into<Document<'a>>,
    limits: &DecodeLimits,
    store: &'a Store,
    resources: &dyn Resources,
) -> Result<Option<BorrowedCall<'a>>, Fault> {
    let meter = Meter::new(resources);
    let text = to_text(document.into(), limits, store, &meter)?;
    Ok(quickly(text, limits, store, &meter, &call_ways())?)
}

/// Reads a response document: the method's result, or the fault that the server answered.
///
/// # Errors
/// The document is neither.
pub fn decode_response<'a>(
    document: impl Into<Document<'a>>,
    limits: &DecodeLimits,
) -> Result<Result<Value, Fault>, DecodeError> {
    decode_response_in(document, limits, &Unlimited)
}

/// As [`decode_response`], with the time and memory that `resources` grant.
///
/// # Errors
/// Those of [`decode_response`]; -32000 and -32001 when the resources stop it.
pub fn decode_response_in<'a>(
    document: impl Into<Document<'a>>,
    limits: &DecodeLimits,
    resources: &dyn Resources,
) -> Result<Result<Value, Fault>, DecodeError> {
    let document = document.into();
    Store::with(|store| decode(document, limits, store, resources, &response_ways()))
}

/// The fault that a struct with `faultCode` and `faultString` stands for, in a response or among a batch's results. The code
/// may be of any type that holds a number of 32 bits, the string may be missing: some servers send them so.
pub(crate) fn fault_of(value: &Value) -> Option<Fault> {
    let code = match value.get("faultCode")? {
        Value::Int(code) => *code,
        Value::Long(code) => i32::try_from(*code).ok()?,
        // Languages with one kind of number send it so. Only a whole one is written like an int.
        Value::Double(code) => code.to_string().parse().ok()?,
        Value::String(code) => scalars::trim(code).parse().ok()?,
        _ => return None,
    };
    let message = match value.get("faultString") {
        Some(Value::String(message)) => message.clone(),
        _ => String::new(),
    };
    Some(Fault { code, message })
}

/// The two ways to read a document of one kind.
struct Ways<'a, T> {
    /// Reads what it knows, and leaves the rest.
    fast: fn(&'a [u8], &DecodeLimits, &'a Store, &Meter<'_>) -> Option<T>,
    /// Says what is right.
    exact: Exact<T>,
}

type Exact<T> = fn(&mut Decoder<'_>) -> Result<T, DecodeError>;

fn call_ways<'a>() -> Ways<'a, BorrowedCall<'a>> {
    Ways { fast: fast::call, exact: |decoder| decoder.call().map(BorrowedCall::from) }
}

fn response_ways<'a>() -> Ways<'a, Result<Value, Fault>> {
    Ways { fast: fast::response, exact: |decoder| decoder.response() }
}

/// What both ways make of a request document: `None` of the first is what it leaves to the second.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn call_both_ways(
    document: Document<'_>,
    limits: &DecodeLimits,
) -> (Option<Call>, Result<Call, DecodeError>) {
    both_ways(document, limits, |text, store, meter| {
        let fast = fast::call(text, limits, store, meter).map(BorrowedCall::into_owned);
        (fast, exactly(text, limits, meter, |decoder| decoder.call()))
    })
}

/// As [`call_both_ways`], of a response document.
#[cfg(any(test, feature = "fuzz"))]
#[expect(clippy::type_complexity, reason = "it is what both return")]
pub(crate) fn response_both_ways(
    document: Document<'_>,
    limits: &DecodeLimits,
) -> (Option<Result<Value, Fault>>, Result<Result<Value, Fault>, DecodeError>) {
    both_ways(document, limits, |text, store, meter| {
        let fast = fast::response(text, limits, store, meter);
        (fast, exactly(text, limits, meter, |decoder| decoder.response()))
    })
}

#[cfg(any(test, feature = "fuzz"))]
fn both_ways<T, F>(
    document: Document<'_>,
    limits: &DecodeLimits,
    read: F,
) -> (Option<T>, Result<T, DecodeError>)
where
    F: FnOnce(&[u8], &Store, &Meter<'_>) -> (Option<T>, Result<T, DecodeError>),
{
    let meter = Meter::new(&Unlimited);
    Store::with(|store| match to_text(document, limits, store, &meter) {
        Ok(text) => read(text, store, &meter),
        Err(error) => (None, Err(error)),
    })
}

fn decode<'a, T>(
    document: Document<'a>,
    limits: &DecodeLimits,
    store: &'a Store,
    resources: &dyn Resources,
    ways: &Ways<'a, T>,
) -> Result<T, DecodeError> {
    let meter = Meter::new(resources);
    let text = to_text(document, limits, store, &meter)?;
    match quickly(text, limits, store, &meter, ways)? {
        Some(whole) => Ok(whole),
        None => exactly(text, limits, &meter, ways.exact),
    }
}

/// Runs the fast decoder alone.
fn quickly<'a, T>(
    text: &'a [u8],
    limits: &DecodeLimits,
    store: &'a Store,
    meter: &Meter<'_>,
    ways: &Ways<'a, T>,
) -> Result<Option<T>, Stop> {
    let whole = (ways.fast)(text, limits, store, meter);
    meter.stopped().map_or(Ok(whole), Err)
}

fn to_text<'a>(
    document: Document<'a>,
    limits: &DecodeLimits,
    store: &'a Store,
    meter: &Meter<'_>,
) -> Result<&'a [u8], DecodeError> {
    if document.bytes_len() > limits.bytes_max {
        let message = format!("line 1, column 1: the document is larger than {} bytes", limits.bytes_max);
        return Err(DecodeError { code: code::INVALID_REQUEST, message });
    }
    Ok(store.document(document.to_utf8(meter)?))
}

fn exactly<T>(
    text: &[u8],
    limits: &DecodeLimits,
    meter: &Meter<'_>,
    exact: Exact<T>,
) -> Result<T, DecodeError> {
    let taken = meter.taken();
    let mut decoder = Decoder::new(text, limits, meter);
    let result = exact(&mut decoder);
    decoder.reader.let_go();
    if !decoder.reader.lacks_prefix() {
        return result;
    }
    // The values of the first try have been dropped.
    meter.give_back(meter.taken().saturating_sub(taken));
    let _memory = meter.take_for_now(text.len())?;
    match decoder.reader.with_prefix_declared(text) {
        Some(document) => exact(&mut Decoder::new(&document, limits, meter)),
        None => result,
    }
}

/// One document on its way to values.
struct Decoder<'a> {
    reader: Reader<'a>,
    meter: &'a Meter<'a>,
    limits: DecodeLimits,
    values_read: usize,
}

impl<'a> Decoder<'a> {
    fn new(text: &'a [u8], limits: &DecodeLimits, meter: &'a Meter<'a>) -> Self {
        let limits = DecodeLimits { depth_max: limits.depth_max.min(DEPTH_CEILING), ..*limits };
        Self { reader: Reader::new(text, limits, meter), meter, limits, values_read: 0 }
    }

    fn call(&mut self) -> Result<Call, DecodeError> {
        self.root("methodCall")?;
        let (mut method, mut params) = (None, None);
        while let Some(name) = self.child("methodCall")? {
            match name.as_str() {
                "methodName" if method.is_none() => method = Some(self.method_name()?),
                "params" if params.is_none() => params = Some(self.params()?),
                _ => return Err(self.misplaced(&name, "methodCall")),
            }
        }
        self.end()?;
        let method = method.ok_or_else(|| self.invalid("<methodCall> has no <methodName>"))?;
        Ok(Call { method, params: params.unwrap_or_default() })
    }

    fn response(&mut self) -> Result<Result<Value, Fault>, DecodeError> {
        self.root("methodResponse")?;
        let response = match self.child("methodResponse")?.as_deref() {
            Some("params") => {
                let mut params = self.params()?;
                if params.len() > 1 {
                    return Err(self.invalid("<methodResponse> holds more than one value"));
                }
                // Servers of languages with procedures leave the value out.
                Ok(params.pop().unwrap_or_default())
            }
            Some("fault") => {
                self.only_child("fault", "value")?;
                let value = self.value()?;
                self.close("fault")?;
                Err(self.fault(&value)?)
            }
            Some(name) => return Err(self.misplaced(name, "methodResponse")),
            None => return Err(self.invalid("<methodResponse> holds neither <params> nor <fault>")),
        };
        self.close("methodResponse")?;
        self.end()?;
        Ok(response)
    }

    fn method_name(&mut self) -> Result<String, DecodeError> {
        let name = self.text("methodName")?;
        let name = scalars::trim(&name);
        if name.is_empty() {
            return Err(self.invalid("<methodName> is empty"));
        }
        if name.len() > self.limits.method_bytes_max {
            let max = self.limits.method_bytes_max;
            return Err(self.invalid(format!("<methodName> is longer than {max} bytes")));
        }
        Ok(name.to_owned())
    }

    fn params(&mut self) -> Result<Vec<Value>, DecodeError> {
        let mut params = Vec::new();
        while let Some(name) = self.child("params")? {
            if name != "param" {
                return Err(self.misplaced(&name, "params"));
            }
            self.only_child("param", "value")?;
            let param = self.value()?;
            self.make_room(&mut params, size_of::<abi::Value>())?;
            params.push(param);
            self.close("param")?;
        }
        Ok(params)
    }

    fn fault(&self, value: &Value) -> Result<Fault, DecodeError> {
        fault_of(value).ok_or_else(|| self.invalid("<fault> has no faultCode that is a number of 32 bits"))
    }

    fn root(&mut self, expected: &str) -> Result<(), DecodeError> {
        match self.reader.tag("the document")? {
            Event::Open(name) if name == expected => Ok(()),
            Event::Open(name) => {
                Err(self.invalid(format!("the document is a <{}>, not a <{expected}>", reader::shown(&name))))
            }
            _ => Err(self.invalid(format!("the document has no <{expected}>"))),
        }
    }

    /// Reads to the document's end, past comments: whatever else follows the root is refused.
    fn end(&mut self) -> Result<(), DecodeError> {
        match self.reader.tag("the document")? {
            Event::End => Ok(()),
            _ => Err(self.invalid("the document goes on after its root element")),
        }
    }

    /// The name of the next element within this one, or `None` at its end.
    fn child(&mut self, parent: &str) -> Result<Option<String>, DecodeError> {
        match self.reader.tag(parent)? {
            Event::Open(name) => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    fn only_child(&mut self, parent: &str, expected: &str) -> Result<(), DecodeError> {
        match self.child(parent)? {
            Some(name) if name == expected => Ok(()),
            Some(name) => Err(self.misplaced(&name, parent)),
            None => Err(self.invalid(format!("<{parent}> holds no <{expected}>"))),
        }
    }

    /// Reads this element's end.
    fn close(&mut self, element: &str) -> Result<(), DecodeError> {
        match self.child(element)? {
            None => Ok(()),
            Some(name) => Err(self.misplaced(&name, element)),
        }
    }

    /// Reads an element that holds nothing but text, its end included. White space is kept.
    fn text(&mut self, element: &str) -> Result<String, DecodeError> {
        let mut text = String::new();
        loop {
            match self.reader.next()? {
                Event::Text(more) if text.is_empty() => text = more,
                Event::Text(more) => text.push_str(&more),
                Event::Open(name) => return Err(self.misplaced(&name, element)),
                Event::Close | Event::End => return Ok(text),
            }
        }
    }

    fn misplaced(&self, name: &str, parent: &str) -> DecodeError {
        self.invalid(format!("<{}> does not belong in <{parent}> here", reader::shown(name)))
    }

    fn invalid(&self, what: impl fmt::Display) -> DecodeError {
        self.reader.error(code::INVALID_REQUEST, what)
    }
}
