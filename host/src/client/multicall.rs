//! Many calls in one request, by `system.multicall`.

use super::error::Error;
use super::handle::Client;
use super::params::Params;
use crate::xmlrpc::{Fault, Value, fault_of};
use hotcall_plugin::FromValue;
use std::mem;

/// Calls in one request, when [`MultiCall::calls_max`] sets nothing else: as many as Hotcall takes.
pub const MULTICALL_CALLS_MAX: usize = 1_000;

/// Calls that are sent together. Each has a result or a fault of its own.
///
/// More calls than [`MULTICALL_CALLS_MAX`] go in several requests, one after the other. What one
/// request holds is limited by the server too: Hotcall takes 16 MiB, if not configured otherwise.
///
/// # Examples
/// ```no_run
/// # let client = hotcall::client::Client::builder("http://127.0.0.1:8080").build()?;
/// let mut batch = client.multicall();
/// for number in 0..10 {
///     batch.add("add", (number, 1))?;
/// }
/// let sums: Vec<i32> = batch.send()?.into_iter().collect::<Result<_, _>>().unwrap();
/// # Ok::<(), hotcall::client::Error>(())
/// ```
#[derive(Debug)]
pub struct MultiCall<'c> {
    client: &'c Client,
    calls: Vec<(String, Vec<Value>)>,
    calls_max: usize,
}

impl Client {
    /// Begins a batch of calls.
    pub const fn multicall(&self) -> MultiCall<'_> {
        MultiCall { client: self, calls: Vec::new(), calls_max: MULTICALL_CALLS_MAX }
    }
}

impl MultiCall<'_> {
    /// Adds a call. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Params`], and then the batch is as it was.
    pub fn add(&mut self, method: &str, params: impl Params) -> Result<&mut Self, Error> {
        let params =
            params.into_params().map_err(|fault| Error::params(method, fault.message()))?;
        self.calls.push((method.to_owned(), params));
        Ok(self)
    }

    /// Sends at most so many calls in one request, for servers that take fewer. At least one is
    /// sent.
    pub const fn calls_max(&mut self, calls_max: usize) -> &mut Self {
        self.calls_max = if calls_max == 0 { 1 } else { calls_max };
        self
    }

    /// How many calls wait to be sent.
    pub const fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Sends all calls, and gives their results in order. The batch is empty then. Without any
    /// call, nothing is sent.
    ///
    /// When the results are of several types, ask for [`Value`]s, and use [`Value::to`] on each.
    ///
    /// # Errors
    /// As [`Client::call`]: [`Error::Fault`] when the server does not know `system.multicall` or
    /// refuses the batch as a whole; [`Error::Mismatch`] when a result is not a `T`. What earlier
    /// requests of the same batch did is done.
    pub fn send<T>(&mut self) -> Result<Vec<Result<T, Fault>>, Error>
    where
        T: for<'a> FromValue<'a>,
    {
        let mut calls = mem::take(&mut self.calls).into_iter();
        let mut results = Vec::with_capacity(calls.len());
        while calls.len() > 0 {
            let (methods, batch): (Vec<_>, Vec<_>) =
                calls.by_ref().take(self.calls_max).map(entry).unzip();
            for (method, answer) in methods.iter().zip(self.answers(batch)?) {
                let result = outcome(answer)?.map(|value| {
                    let number = results.len() + 1;
                    value.to().map_err(|mismatch| {
                        Error::mismatch(
                            format_args!("the result of call {number}, {method},"),
                            &mismatch,
                        )
                    })
                });
                results.push(match result {
                    Ok(value) => Ok(value?),
                    Err(fault) => Err(fault),
                });
            }
        }
        Ok(results)
    }

    /// The answers to the calls of one request: as many as calls.
    fn answers(&self, batch: Vec<Value>) -> Result<Vec<Value>, Error> {
        let count = batch.len();
        match self.client.exchange("system.multicall", &[Value::Array(batch)])?.result()? {
            Value::Array(answers) if answers.len() == count => Ok(answers),
            Value::Array(answers) => {
                let answers = answers.len();
                Err(Error::Protocol(format!(
                    "system.multicall gave {answers} answers to {count} calls"
                )))
            }
            other => {
                let ty = other.type_name();
                Err(Error::Protocol(format!(
                    "system.multicall answered with {ty}, not with an array"
                )))
            }
        }
    }
}

/// A call's method, and the struct that it is in a batch.
fn entry((method, params): (String, Vec<Value>)) -> (String, Value) {
    let call = Value::Struct(vec![
        ("methodName".to_owned(), Value::String(method.clone())),
        ("params".to_owned(), Value::Array(params)),
    ]);
    (method, call)
}

/// An answer is an array of the one result, or a fault's struct. RPC::XML's server leaves out the
/// array, which is understood where it can be: for every result but an array.
fn outcome(answer: Value) -> Result<Result<Value, Fault>, Error> {
    match answer {
        Value::Array(results) => match <[Value; 1]>::try_from(results) {
            Ok([result]) => Ok(Ok(result)),
            Err(results) => {
                let count = results.len();
                Err(Error::Protocol(format!("system.multicall gave {count} results to one call")))
            }
        },
        other if other.get("faultCode").is_some() => match fault_of(&other) {
            Some(fault) => Ok(Err(fault)),
            None => Err(Error::Protocol(
                "system.multicall gave neither a result nor a fault to a call".to_owned(),
            )),
        },
        other => Ok(Ok(other)),
    }
}
