//! Makes one call and prints its answer.

use crate::cli::connection::failure;
use crate::cli::json;
use crate::cli::output::{Failure, print, print_document};
use crate::client::{Client, Error};
use crate::xmlrpc::Value;

/// What is called, once or many times.
pub(super) struct Call<'a> {
    pub(super) client: Client,
    pub(super) method: &'a str,
    pub(super) params: Vec<Value>,
    pub(super) xml: bool,
}

/// What is printed of a call's answer.
pub(super) enum Answer {
    Document(Vec<u8>),
    Result(Value),
}

impl Call<'_> {
    /// Makes the call. A document that holds a fault is printed in any case.
    pub(super) fn make(&self) -> Result<Answer, Failure> {
        let failed = |error: Error| failure(&error);
        let exchange = self.client.exchange(self.method, &self.params).map_err(failed)?;
        let result = exchange.result();
        if !self.xml {
            return result.map(Answer::Result).map_err(failed);
        }
        if let Err(error) = result {
            print_document(&exchange.response)?;
            return Err(failed(error));
        }
        Ok(Answer::Document(exchange.response))
    }
}

impl Answer {
    pub(super) fn print(&self) -> Result<(), Failure> {
        match self {
            Self::Document(document) => print_document(document),
            Self::Result(value) => print(json::text(value)? + "\n"),
        }
    }
}
