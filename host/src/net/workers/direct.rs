//! A call's way past tiny_http: from the reactor to a worker, and back by the call's ticket.

use super::call::Call;
use super::job::{Job, Parking};
use super::ticket::Ticket;
use crate::net::http1::own_answers::overload;
use crate::net::http1::reply::Reply;
use crate::queue::{Full, Place, Turn};
use crate::web::{Done, Work};
use std::sync::Arc;

/// Work for an answer that a ticket takes.
pub(crate) struct Direct {
    pub(crate) work: Box<Work>,
    pub(crate) call: Arc<Call>,
    pub(crate) ticket: Ticket,
}

impl Job for Direct {
    fn call(&self) -> &Arc<Call> {
        &self.call
    }

    fn place(&self) -> &Place {
        &self.work.place
    }

    fn run(self: Box<Self>, turn: &dyn Turn, parking: &Arc<Parking>) -> bool {
        let Self { work, call, ticket } = *self;
        let (pause, work) = match work.run(turn) {
            Done::Answered(response) => {
                ticket.answer(Reply::from(response));
                return false;
            }
            Done::Waiting(pause, work) => (pause, work),
        };
        let is_left = call.leave();
        if is_left {
            parking.park(pause, Box::new(Self { work, call, ticket }));
        }
        is_left
    }

    fn refuse(self: Box<Self>, full: Full) {
        self.ticket.answer(overload(&full).into());
    }
}
