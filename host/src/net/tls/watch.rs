//! Checks the TLS files at intervals, and reads them again once two checks in a row agree:
//! certificate and key are replaced one after the other.
//!
//! A check is a few `stat` calls. Kernel events would be faster, but NFS and some mounts send
//! none, and a certificate that is not renewed is an outage. A replaced link is noticed too.

use super::server::Tls;
use crate::net::error::Error;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The thread that looks. It ends with this.
pub(in crate::net) struct Watch {
    end: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(in crate::net) fn start(tls: Arc<Tls>, interval: Duration) -> Result<Self, Error> {
        let (end, ended) = bounded(0);
        let thread = thread::Builder::new().name("certificates".into());
        let thread = thread.spawn(move || watch(&tls, &ended, interval)).map_err(Error::Thread)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end.take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a defect of the server ended the watch over certificates");
        }
    }
}

fn watch(tls: &Tls, end: &Receiver<Infallible>, interval: Duration) {
    let mut last = None;
    while end.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        last = Some(tls.look(last));
    }
}
