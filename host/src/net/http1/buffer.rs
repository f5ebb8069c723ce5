//! Bytes of a connection that have come and are not used yet. Knows nothing of what they mean.

use std::io;

/// The first read of a request: most are whole within it, and a connection that turns out to be
/// idle has little to give back.
const FIRST_BYTES: usize = 4 << 10;
/// Further reads: a whole record of TLS.
const READ_BYTES: usize = 16 << 10;

/// Memory that many buffers use in turn: one that has bytes left over keeps it, and this gets other
/// when it is needed.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<u8>);

/// A window on memory that grows as bytes come.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// All of it has been written to once, so that room which is used again need not be zeroed
    /// again.
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// So many bytes from `start` are no line feed.
    searched: usize,
}

/// A line does not end within its limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Buffer {
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What has come and is not used yet.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads once, behind what is there; `read` says how much it wrote.
    pub(crate) fn fill(
        &mut self,
        spare: &mut Spare,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.memory.is_empty() {
            std::mem::swap(&mut self.memory, &mut spare.0);
        }
        self.make_room();
        let room = self.memory.get_mut(self.end..).unwrap_or_default();
        let room_bytes = room.len();
        let read = read(room).map(|count| count.min(room_bytes));
        self.end += read.as_ref().copied().unwrap_or(0);
        read
    }

    /// Uses up to `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start = from.saturating_add(count).min(self.end);
        self.searched = 0;
        self.memory.get(from..self.start).unwrap_or_default()
    }

    /// Uses a line with its line feed, once that has come.
    ///
    /// # Errors
    /// There is none within `bytes_max`.
    pub(crate) fn line(&mut self, bytes_max: usize) -> Result<Option<&[u8]>, TooLong> {
        let bytes = self.bytes();
        let bytes = bytes.get(..bytes_max).unwrap_or(bytes);
        let new = bytes.get(self.searched..).unwrap_or_default();
        match new.iter().position(|byte| *byte == b'\n') {
            Some(at) => Ok(Some(self.take(self.searched + at + 1))),
            None if bytes.len() == bytes_max => Err(TooLong),
            None => {
                self.searched = bytes.len();
                Ok(None)
            }
        }
    }

    /// Gives the memory back when nothing is in it.
    pub(crate) fn release(&mut self, spare: &mut Spare) {
        if !self.is_empty() {
            return;
        }
        let memory = std::mem::take(self).memory;
        if spare.0.is_empty() && memory.len() <= READ_BYTES {
            spare.0 = memory;
        }
    }

    /// The memory that it has.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) const fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// Grows, and moves what is there to the front, only when little room is left: so neither costs
    /// much for each byte, however few come at once.
    fn make_room(&mut self) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        let wanted = if self.memory.is_empty() { FIRST_BYTES } else { READ_BYTES };
        if self.memory.len() - self.end < wanted / 2 {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let bytes = self.memory.len().max(self.end + wanted);
            self.memory.resize(bytes, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let read = buffer.fill(&mut Spare::default(), |room| io::Read::read(&mut rest, room));
            assert!(read.unwrap() > 0);
        }
    }

    #[test]
    fn what_is_put_in_is_taken_out_in_order() {
        let mut buffer = Buffer::default();
        let all: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let mut taken = Vec::new();
        for piece in all.chunks(7_001) {
            put(&mut buffer, piece);
            taken.extend_from_slice(buffer.take(6_000));
        }
        assert_eq!(buffer.bytes().len(), all.len() - taken.len());
        taken.extend_from_slice(buffer.take(usize::MAX));
        assert!(taken == all && buffer.is_empty());
        buffer.release(&mut Spare::default());
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn memory_follows_what_is_there() {
        let mut buffer = Buffer::default();
        for _ in 0..1_000 {
            put(&mut buffer, &[b'x'; 5_000]);
            buffer.take(5_000);
        }
        assert!(buffer.capacity() <= 2 * READ_BYTES, "{}", buffer.capacity());
        for _ in 0..20_000 {
            put(&mut buffer, b"x");
        }
        assert!(buffer.capacity() <= 2 * (20_000 + READ_BYTES), "{}", buffer.capacity());
        put(&mut buffer, b"more");
        buffer.release(&mut Spare::default());
        assert_eq!(buffer.bytes().len(), 20_004, "what is not used stays");
    }

    #[test]
    fn a_failed_read_changes_nothing() {
        let mut buffer = Buffer::default();
        put(&mut buffer, b"a");
        assert!(
            buffer.fill(&mut Spare::default(), |_| Err(io::ErrorKind::WouldBlock.into())).is_err()
        );
        assert_eq!(buffer.fill(&mut Spare::default(), |_| Ok(0)).unwrap(), 0);
        assert_eq!(buffer.bytes(), b"a");
    }

    #[test]
    fn lines_end_within_their_limit() {
        let mut buffer = Buffer::default();
        put(&mut buffer, b"one\r\ntw");
        assert_eq!(buffer.line(5), Ok(Some(&b"one\r\n"[..])));
        assert_eq!(buffer.line(5), Ok(None));
        put(&mut buffer, b"o");
        assert_eq!(buffer.line(5), Ok(None));
        assert_eq!(buffer.line(3), Err(TooLong));
        put(&mut buffer, b"\nthree\n");
        assert_eq!(buffer.line(4), Ok(Some(&b"two\n"[..])));
        assert_eq!(buffer.line(5), Err(TooLong));
        assert_eq!(buffer.line(6), Ok(Some(&b"three\n"[..])));
        assert_eq!(buffer.line(0), Err(TooLong));
    }
}
