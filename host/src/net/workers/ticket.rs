//! The completion of one call. Its owner can answer the call, later and from any thread. Must not
//! know who waits for the answer.

use crate::net::http1::reply::Reply;
use std::sync::Arc;

/// Takes the replies to calls.
pub(crate) trait AnswerTo: Send + Sync {
    /// Takes the reply to the call with this number of this connection. `None` when there will be
    /// none.
    fn answer(&self, connection: usize, number: u64, reply: Option<Reply>);
}

/// The right to answer one call of one connection. A ticket that is dropped unused says that there
/// will be no answer.
pub(crate) struct Ticket {
    to: Arc<dyn AnswerTo>,
    connection: usize,
    number: u64,
    is_used: bool,
}

impl Ticket {
    /// For the call with this number of the connection that the reactor keeps under this key.
    pub(crate) const fn new(to: Arc<dyn AnswerTo>, connection: usize, number: u64) -> Self {
        Self { to, connection, number, is_used: false }
    }

    /// Answers the call.
    pub(crate) fn answer(mut self, reply: Reply) {
        self.send(Some(reply));
    }

    fn send(&mut self, reply: Option<Reply>) {
        self.is_used = true;
        self.to.answer(self.connection, self.number, reply);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_used {
            self.send(None);
        }
    }
}
