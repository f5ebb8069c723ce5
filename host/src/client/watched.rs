//! One connection to a server, as ureq sees it. It sends a call in one write, tells whether a
//! connection that broke can have delivered its call, and reads an answer that came before the
//! whole call was written.
//!
//! Knows no HTTP, and of the socket only whether its server's kernel has refused a call.

use super::socket::{self, Socket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io, mem};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

/// No byte of an answer came to the call, and its kept connection ended before the server took it:
/// it may be sent again.
#[derive(Debug)]
pub(super) struct NotTaken;

/// No byte of an answer came to the call, and nothing says that the server did not take it.
#[derive(Debug)]
pub(super) struct Unanswered;

/// How long after a call a reset may come that is taken for the end of an idle connection. It is on
/// its way when the call is, so this is a round trip, and time for a server that is busy.
pub(super) const IDLE_RESET_MAX: Duration = Duration::from_secs(1);
/// How long after a call the server's kernel can be expected to have refused it: two round trips,
/// and time for machines that are busy.
const REFUSAL_SLACK: Duration = Duration::from_millis(50);
const REFUSAL_MAX: Duration = Duration::from_millis(500);
/// How much of a call waits for the rest of it. ureq writes head and body separately. A call of at
/// most this size is one write, and one record of TLS.
const UNSENT_BYTES_MAX: usize = 16 << 10;
/// How much is written or read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// A connection that knows whether the server can have taken a call that failed.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    /// What ureq writes and reads.
    buffers: LazyBuffers,
    /// How many bytes at the start of the output are written and not sent.
    unsent: usize,
    /// The socket, and how long it took to connect, which is a round trip. None when it ends at a
    /// proxy, and says nothing of what the server took.
    server: Option<(Arc<OwnedFd>, Duration)>,
    /// An answer came whole on it before the present exchange.
    kept: bool,
    /// A byte of the present exchange's answer came.
    heard: bool,
    /// The server takes no more of the call, and has said why.
    is_cut: bool,
    /// When the last bytes were sent.
    sent: Instant,
}

/// What a connection's bytes go through.
#[derive(Debug)]
pub(super) enum Stream {
    /// Nothing: buffers are the socket's.
    Plain(Socket),
    /// Layers of ureq's, TLS or a proxy's tunnel, with buffers of their own.
    Layers(Box<dyn Transport>),
}

impl Stream {
    pub(super) fn layers(transport: impl Transport) -> Self {
        Self::Layers(Box::new(transport))
    }

    fn send(&mut self, bytes: &[u8], timeout: NextTimeout) -> Result<(), ureq::Error> {
        let layers = match self {
            Self::Plain(socket) => return socket.send(bytes, timeout),
            Self::Layers(layers) => layers,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let output = layers.buffers().output();
            let (now, later) = rest.split_at(rest.len().min(output.len()));
            output.split_at_mut(now.len()).0.copy_from_slice(now);
            layers.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        Ok(())
    }

    /// Waits for bytes: how many have come, none at the connection's end.
    fn receive(&mut self, buffer: &mut [u8], timeout: NextTimeout) -> Result<usize, ureq::Error> {
        let layers = match self {
            Self::Plain(socket) => return socket.receive(buffer, timeout),
            Self::Layers(layers) => layers,
        };
        layers.maybe_await_input(timeout)?;
        let input = layers.buffers().input();
        let amount = input.len().min(buffer.len());
        buffer.split_at_mut(amount).0.copy_from_slice(input.split_at(amount).0);
        layers.buffers().input_consume(amount);
        Ok(amount)
    }

    /// Whether all that has come was taken.
    fn is_drained(&mut self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Layers(layers) => layers.buffers().input().is_empty(),
        }
    }

    fn is_open(&mut self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_open(),
            Self::Layers(layers) => layers.is_open(),
        }
    }

    fn is_tls(&self) -> bool {
        matches!(self, Self::Layers(layers) if layers.is_tls())
    }
}

impl Watched {
    pub(super) fn new(stream: Stream, server: Option<(Arc<OwnedFd>, Duration)>) -> Self {
        Self {
            stream,
            buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES),
            unsent: 0,
            server,
            kept: false,
            heard: false,
            is_cut: false,
            sent: Instant::now(),
        }
    }

    /// The error of a call whose connection ended before a byte of its answer, in order or with
    /// `error`.
    fn unanswered(&self, error: Option<ureq::Error>) -> ureq::Error {
        let is_told = error.as_ref().is_some_and(is_reset);
        let since = self.sent.elapsed();
        let is_reset = |(socket, trip): &(Arc<OwnedFd>, Duration)| {
            let refused_by = (*trip * 2).saturating_add(REFUSAL_SLACK).min(REFUSAL_MAX);
            is_told || socket::is_reset(socket, refused_by.saturating_sub(since))
        };
        if self.kept && since < IDLE_RESET_MAX && self.server.as_ref().is_some_and(is_reset) {
            return not_taken();
        }
        match error {
            // Such as a TLS alert.
            Some(error) if !is_told => error,
            _ => ureq::Error::Other(Box::new(Unanswered)),
        }
    }

    /// Sends what ureq has written. A server that takes no more shows here.
    fn flush(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let sent = self.write(timeout);
        self.sent = Instant::now();
        match sent {
            Err(error) if !is_timeout(&error) => self.cut(error, timeout),
            sent => sent,
        }
    }

    fn write(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let amount = mem::take(&mut self.unsent);
        let bytes = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.send(bytes, timeout)
    }

    fn read(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let amount = self.stream.receive(self.buffers.input_append_buf(), timeout)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Whether the exchange that ends now leaves the connection fit for another one.
    pub(super) fn end_exchange(&mut self) -> bool {
        self.kept |= self.heard;
        self.heard = false;
        // Bytes that nobody asked for are no answer to the next call.
        !self.is_cut && self.stream.is_drained()
    }

    /// Reads the answer to a call that could not be written whole, if the server sent one before it
    /// closed the connection. Nothing is waited for.
    fn cut(&mut self, error: ureq::Error, timeout: NextTimeout) -> Result<(), ureq::Error> {
        match self.read(timeout) {
            Ok(true) => {
                self.heard = true;
                self.is_cut = true;
                Ok(())
            }
            // Some of the call never left, so the server cannot have had all of it.
            _ if self.kept && !self.heard && self.server.is_some() => Err(not_taken()),
            Err(said) if !is_reset(&said) && !is_timeout(&said) => Err(said),
            _ => Err(error),
        }
    }
}

impl Transport for Watched {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.is_cut {
            // ureq looks for the answer once it has written all.
            return Ok(());
        }
        self.unsent += amount;
        if self.unsent <= UNSENT_BYTES_MAX { Ok(()) } else { self.flush(timeout) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.unsent > 0 {
            self.flush(timeout)?;
            if self.is_cut {
                return Ok(true);
            }
        }
        let came = self.read(timeout);
        self.heard |= matches!(came, Ok(true));
        match came {
            Ok(false) if !self.heard => Err(self.unanswered(None)),
            Err(error) if !self.heard && !is_timeout(&error) => Err(self.unanswered(Some(error))),
            came => came,
        }
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

/// ureq writes behind what is not sent yet.
impl Buffers for Watched {
    fn output(&mut self) -> &mut [u8] {
        self.buffers.output().get_mut(self.unsent..).unwrap_or_default()
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let (tmp, output) = self.buffers.tmp_and_output();
        (tmp, output.get_mut(self.unsent..).unwrap_or_default())
    }

    fn input(&self) -> &[u8] {
        self.buffers.input()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.buffers.input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.buffers.input_appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.buffers.input_consume(amount);
    }

    fn can_use_input(&self) -> bool {
        self.buffers.can_use_input()
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server closed the connection before it took the call")
    }
}

impl std::error::Error for NotTaken {}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connection ended without an answer; whether the call was executed is not known",
        )
    }
}

impl std::error::Error for Unanswered {}

fn not_taken() -> ureq::Error {
    ureq::Error::Other(Box::new(NotTaken))
}

fn is_timeout(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Timeout(_))
}

fn is_reset(error: &ureq::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error, ureq::Error::Io(error) if matches!(error.kind(), ConnectionReset | BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps the lengths of what is sent, and answers with one byte.
    #[derive(Debug)]
    struct Recorder {
        buffers: LazyBuffers,
        writes: Arc<Mutex<Vec<usize>>>,
    }

    impl Transport for Recorder {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            self.writes.lock().unwrap().push(amount);
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
            self.buffers.input_append_buf()[0] = b'x';
            self.buffers.input_appended(1);
            Ok(true)
        }

        fn is_open(&mut self) -> bool {
            true
        }
    }

    /// Sends these pieces and waits for an answer: the lengths of what is sent.
    fn writes_of(pieces: &[usize]) -> Vec<usize> {
        let writes = Arc::<Mutex<Vec<usize>>>::default();
        let buffers = LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES);
        let recorder = Recorder { buffers, writes: Arc::clone(&writes) };
        let mut watched = Watched::new(Stream::layers(recorder), None);
        for &piece in pieces {
            assert!(piece <= watched.output().len(), "there is no room");
            watched.transmit_output(piece, NextTimeout::default()).unwrap();
        }
        assert!(watched.await_input(NextTimeout::default()).unwrap());
        assert_eq!(watched.input(), b"x");
        let writes = writes.lock().unwrap();
        writes.clone()
    }

    #[test]
    fn head_and_body_are_one_write() {
        assert_eq!(writes_of(&[300, 200]), [500]);
        assert_eq!(writes_of(&[300, UNSENT_BYTES_MAX - 300]), [UNSENT_BYTES_MAX]);
    }

    #[test]
    fn a_long_body_does_not_wait_for_its_end() {
        assert_eq!(writes_of(&[300, BUFFER_BYTES - 300, 40_000, 5]), [BUFFER_BYTES, 40_000, 5]);
    }
}
