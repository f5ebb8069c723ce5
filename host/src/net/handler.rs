//! The one door from the network to whatever answers requests.

use crate::pause::Pause;
use crate::request::Request;
use crate::web::{Begun, Response};

/// What answers requests.
pub trait Handler: Send + Sync {
    /// Answers one, however long it takes.
    ///
    /// # Errors
    /// It has to wait: it is to be asked again once the pause is over.
    fn respond(&self, request: &Request) -> Result<Response, Pause>;

    /// Answers one if nothing has to be waited for, else says what is to be done for its answer.
    fn begin(&self, request: Request) -> Begun;

    /// Answers a request that was not answered by its deadline, and whose id is this.
    fn overdue(&self, id: &str) -> Response;

    /// Answers a request whose response is too large for the memory that this setting leaves, and
    /// whose id is this. The request may have been executed.
    fn unsendable(&self, id: &str, setting: &str) -> Response;
}
