//! A call's way past tiny_http: from the reactor to a worker, and back by the call's ticket.

use super::call::Call;
use super::job::{Job, Parking};
use super::ticket::Ticket;
use crate::net::http1::own_answers::{overload, waiting};
use crate::net::http1::reply::Reply;
use crate::pause::Resumed;
use crate::web::{Done, Work};
use std::sync::Arc;

/// Work for an answer that a ticket takes.
pub(crate) struct Direct {
    pub(crate) work: Work,
    pub(crate) call: Arc<Call>,
    pub(crate) ticket: Ticket,
}

impl Job for Direct {
    fn call(&self) -> &Arc<Call> {
        &self.call
    }

    fn run(self: Box<Self>, parking: &Arc<Parking>) -> bool {
        let Self { work, call, ticket } = *self;
        let (pause, work) = match work() {
            Done::Answered(response) => {
                ticket.answer(Reply::from(response));
                return false;
            }
            Done::Paused(pause, work) => (pause, work),
        };
        let is_left = call.leave();
        if is_left {
            let resume = Arc::clone(parking);
            pause.then(parking.parked_max, move |resumed| match resumed {
                Resumed::Over => resume.resume(Box::new(Self { work, call, ticket })),
                Resumed::Refused => ticket.answer(waiting().into()),
            });
        }
        is_left
    }

    fn refuse(self: Box<Self>) {
        self.ticket.answer(overload().into());
    }
}
