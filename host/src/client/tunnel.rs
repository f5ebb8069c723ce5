//! The connection to a proxy, bounded until the proxy has made its tunnel.
//!
//! ureq asks for the tunnel and reads the answer, but gives each read the whole connect timeout
//! again. So this transport holds all reads and writes up to the answer to one deadline.

use super::deadline::Deadline;
use super::socket::{Socket, SocketTransport};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, NextTimeout, Transport};

/// The status line and headers of a proxy's answer to `CONNECT`.
const CONNECT_ANSWER_BYTES_MAX: usize = 16 << 10;

/// A connection to a proxy.
#[derive(Debug)]
pub(super) struct ProxyTransport {
    inner: SocketTransport,
    /// The end of the connect timeout.
    deadline: Deadline,
    stage: Stage,
}

/// How far the tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client asks for it.
    Asking,
    /// Bytes of the proxy's answer have come, maybe all of them.
    Answering,
    /// It is made: the client, which speaks first in it, has sent something.
    Made,
}

impl ProxyTransport {
    pub(super) fn new(socket: Socket, details: &ConnectionDetails<'_>) -> Self {
        Self {
            inner: SocketTransport::new(socket, details),
            deadline: Deadline::of_connecting(details),
            stage: Stage::Asking,
        }
    }

    /// The timeout of one read or write while the tunnel is not made.
    fn bounded(&self, timeout: NextTimeout) -> Result<NextTimeout, ureq::Error> {
        let left = self.deadline.left()?.filter(|left| *left < *timeout.after);
        Ok(left.map_or(timeout, |left| NextTimeout {
            after: left.into(),
            reason: self.deadline.reason,
            ..timeout
        }))
    }
}

impl Transport for ProxyTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.stage == Stage::Asking {
            return self.inner.transmit_output(amount, self.bounded(timeout)?);
        }
        self.stage = Stage::Made;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.stage == Stage::Made {
            return self.inner.await_input(timeout);
        }
        // ureq takes the answer out of the buffer once it is whole.
        if self.inner.buffers().input().len() >= CONNECT_ANSWER_BYTES_MAX {
            let why = format!(
                "the proxy's answer to CONNECT is larger than {CONNECT_ANSWER_BYTES_MAX} bytes"
            );
            return Err(ureq::Error::ConnectProxyFailed(why));
        }
        let came = self.inner.await_input(self.bounded(timeout)?)?;
        self.stage = Stage::Answering;
        Ok(came)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
