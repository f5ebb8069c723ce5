//! The two ways from a document to a call or an answer: the fast decoder first, then xml-rs for the
//! documents that the fast one leaves. Must not know the grammar.

use super::call::{BorrowedCall, Call};
use super::elements::Decoder;
use super::encoding::Document;
use super::error::DecodeError;
use super::limits::DecodeLimits;
use super::{fast, grammar};
use crate::xmlrpc::borrowed::Store;
use crate::xmlrpc::fault::{Fault, code};
use crate::xmlrpc::resources::{Meter, Resources, Stop, Unlimited};
use hotcall_plugin::Value;

/// Reads a request document.
///
/// # Errors
/// The fault to answer with: its message says what is wrong and at which line and column.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{DecodeLimits, Value, decode_call};
/// let document = b"<methodCall><methodName>add</methodName><params>
///     <param><value><int>2</int></value></param>\
///     <param><value>three</value></param></params></methodCall>";
/// let call = decode_call(document, &DecodeLimits::default()).unwrap();
/// assert_eq!(call.method, "add");
/// assert_eq!(call.params, [Value::Int(2), Value::from("three")]);
/// ```
pub fn decode_call<'a>(
    document: impl Into<Document<'a>>,
    limits: &DecodeLimits,
) -> Result<Call, Fault> {
    let document = document.into();
    Store::with(|store| {
        decode_call_in(document, limits, store, &Unlimited).map(BorrowedCall::into_owned)
    })
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
///     <param><value><int>2</int></value></param>\
///     <param><value>three</value></param></params></methodCall>";
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

/// The two ways to read a document of one kind.
struct Ways<'a, T> {
    /// Reads what it knows, and leaves the rest.
    fast: fn(&'a [u8], &DecodeLimits, &'a Store, &Meter<'_>) -> Option<T>,
    /// Says what is right.
    exact: Exact<T>,
}

type Exact<T> = fn(&mut Decoder<'_>) -> Result<T, DecodeError>;

fn call_ways<'a>() -> Ways<'a, BorrowedCall<'a>> {
    Ways { fast: fast::call, exact: |decoder| grammar::call(decoder).map(BorrowedCall::from) }
}

fn response_ways<'a>() -> Ways<'a, Result<Value, Fault>> {
    Ways { fast: fast::response, exact: grammar::response }
}

/// What both ways make of a request document: `None` of the first is what it leaves to the second.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn call_both_ways(
    document: Document<'_>,
    limits: &DecodeLimits,
) -> (Option<Call>, Result<Call, DecodeError>) {
    both_ways(document, limits, |text, store, meter| {
        let fast = fast::call(text, limits, store, meter).map(BorrowedCall::into_owned);
        (fast, exactly(text, limits, meter, grammar::call))
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
        (fast, exactly(text, limits, meter, grammar::response))
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
        let message =
            format!("line 1, column 1: the document is larger than {} bytes", limits.bytes_max);
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
