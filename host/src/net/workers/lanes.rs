//! The jobs that wait in one queue, in lanes: one for each client. Knows jobs only by their keys.

use crate::queue::Client;
use std::collections::{HashMap, VecDeque};

/// Waiting jobs. Clients take turns, and each client's jobs keep their order.
#[derive(Default)]
pub(super) struct Lanes {
    /// Jobs that have waited before. They are taken first.
    resumed: VecDeque<usize>,
    /// No lane is empty.
    by_client: HashMap<Client, VecDeque<usize>>,
    /// The clients that have a lane, in the order of their turns.
    turns: VecDeque<Client>,
    /// Jobs in `by_client`.
    count: usize,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.resumed.is_empty()
    }

    /// How many jobs wait for the first time.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// How many jobs of this client wait for the first time.
    pub(super) fn len_of(&self, client: &Client) -> usize {
        self.by_client.get(client).map_or(0, VecDeque::len)
    }

    pub(super) fn push(&mut self, client: &Client, job: usize) {
        self.count += 1;
        if let Some(lane) = self.by_client.get_mut(client) {
            return lane.push_back(job);
        }
        self.by_client.insert(client.clone(), VecDeque::from([job]));
        self.turns.push_back(client.clone());
    }

    pub(super) fn push_resumed(&mut self, job: usize) {
        self.resumed.push_back(job);
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        if let Some(job) = self.resumed.pop_front() {
            return Some(job);
        }
        let client = self.turns.pop_front()?;
        let lane = self.by_client.get_mut(&client)?;
        let job = lane.pop_front()?;
        self.count -= 1;
        if lane.is_empty() {
            self.by_client.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        Some(job)
    }

    /// Removes one job of this client.
    pub(super) fn remove(&mut self, client: &Client, job: usize) {
        if let Some(at) = self.resumed.iter().position(|other| *other == job) {
            self.resumed.remove(at);
            return;
        }
        let Some(lane) = self.by_client.get_mut(client) else { return };
        // Deadlines pass in the order of arrival, so it is among the first.
        let Some(at) = lane.iter().position(|other| *other == job) else { return };
        lane.remove(at);
        self.count -= 1;
        if lane.is_empty() {
            self.by_client.remove(client);
            self.turns.retain(|other| other != client);
        }
    }
}
