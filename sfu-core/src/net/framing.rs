//! RFC 4571 framing: a length of two bytes, then a frame, on one side collected and on the other queued.

use std::io::{self, Read, Write};

/// Bytes of the length before a frame.
const PREFIX: usize = 2;

/// Bytes that one read asks for at least.
const READ: usize = 4096;

/// What an empty queue keeps of its memory; more was for a client that did not read for a while.
const KEPT: usize = 64 << 10;

/// Collects frames from a stream, however it is cut. Memory grows with the longest frame that the peer really sends.
#[derive(Debug, Default)]
pub(super) struct Deframer {
    buffer: Vec<u8>,
    /// `buffer[taken..filled]` has arrived and was not handed out.
    taken: usize,
    filled: usize,
}

impl Deframer {
    /// Reads once. `Ok(0)` is the end of the stream.
    pub(super) fn read(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let wanted = self.frame_len().map_or(0, |len| PREFIX + len).max(self.filled + READ);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let count = stream.read(&mut self.buffer[self.filled..])?;
        self.filled += count;
        Ok(count)
    }

    /// The length of the frame that comes next, once its two bytes are here.
    pub(super) fn frame_len(&self) -> Option<usize> {
        let prefix = self.buffer[self.taken..self.filled].first_chunk::<PREFIX>()?;
        Some(usize::from(u16::from_be_bytes(*prefix)))
    }

    /// The next frame, if it is whole, without taking it.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let len = self.frame_len()?;
        self.buffer[self.taken..self.filled].get(PREFIX..PREFIX + len)
    }

    /// Takes the next frame, if it is whole.
    pub(super) fn next(&mut self) -> Option<&mut [u8]> {
        let len = self.peek()?.len();
        let start = self.taken + PREFIX;
        self.taken = start + len;
        Some(&mut self.buffer[start..start + len])
    }
}

/// Whole frames that wait to be written.
#[derive(Debug, Default)]
pub(super) struct FrameQueue {
    buffer: Vec<u8>,
    /// `buffer[..written]` is gone.
    written: usize,
}

impl FrameQueue {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Appends a frame; its length must fit 16 bits, as a datagram's does.
    pub(super) fn push(&mut self, frame: &[u8]) {
        let Ok(len) = u16::try_from(frame.len()) else { return };
        self.buffer.extend_from_slice(&len.to_be_bytes());
        self.buffer.extend_from_slice(frame);
    }

    /// Writes until the stream takes no more or the queue is empty; returns the bytes written.
    pub(super) fn write(&mut self, stream: &mut impl Write) -> io::Result<usize> {
        let before = self.written;
        while self.written < self.buffer.len() {
            match stream.write(&self.buffer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let count = self.written - before;
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
            self.written = 0;
        } else if self.written > self.buffer.len() / 2 {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
        Ok(count)
    }
}

/// The fuzz target of `crate::fuzzing`: the first two bytes cut the rest, a peer's stream, into reads.
#[cfg(any(test, feature = "test-support"))]
pub fn fuzz(data: &[u8]) {
    let (cut, mut stream) = data.split_at(data.len().min(2));
    let chunk = cut.iter().fold(0, |chunk, byte| chunk << 8 | u64::from(*byte)) + 1;
    let (mut deframer, mut frames, mut bytes) = (Deframer::default(), FrameQueue::default(), stream);
    loop {
        let read = deframer.read(&mut stream.by_ref().take(chunk)).expect("memory can be read");
        while let Some(whole) = deframer.peek().map(<[u8]>::to_vec) {
            assert_eq!(deframer.next().map(|frame| &*frame), Some(&whole[..]));
            frames.push(&whole);
            let (sent, rest) = bytes.split_at(PREFIX + whole.len());
            assert_eq!((&sent[PREFIX..], frames.len()), (&whole[..], sent.len()));
            let mut written = Vec::new();
            frames.write(&mut written).expect("a vector takes all");
            assert_eq!(written, sent, "a frame goes as it came");
            bytes = rest;
        }
        if read == 0 {
            break;
        }
    }
    assert!(deframer.buffer.len() <= usize::from(u16::MAX) + PREFIX + 2 * READ, "memory is bounded by a frame");
    assert!(bytes.len() < PREFIX + deframer.frame_len().unwrap_or(0).max(1), "nothing whole is left");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A stream that gives and takes at most so many bytes at a time.
    struct Choppy {
        bytes: Vec<u8>,
        given: usize,
        chunk: usize,
    }

    impl Read for Choppy {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let rest = &self.bytes[self.given..];
            let count = self.chunk.min(buffer.len()).min(rest.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.given += count;
            Ok(count)
        }
    }

    impl Write for Choppy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.chunk.min(bytes.len());
            self.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        /// Red if a frame that is split over reads, empty, or next to another is lost or cut wrongly.
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            chunk in 1..5000_usize,
        ) {
            let (mut queue, mut stream) = (FrameQueue::default(), Choppy { bytes: Vec::new(), given: 0, chunk });
            for frame in &frames {
                queue.push(frame);
            }
            queue.write(&mut stream).unwrap();
            prop_assert_eq!(queue.len(), 0);
            let (mut deframer, mut seen) = (Deframer::default(), Vec::new());
            while deframer.read(&mut stream).unwrap() > 0 {
                while let Some(frame) = deframer.next() {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, frames);
        }
    }

    #[test]
    fn the_longest_frame_passes() {
        let (mut queue, mut stream) = (FrameQueue::default(), Choppy { bytes: Vec::new(), given: 0, chunk: 1400 });
        queue.push(&[7; 65_535]);
        queue.write(&mut stream).unwrap();
        let mut deframer = Deframer::default();
        while deframer.peek().is_none() {
            assert!(deframer.read(&mut stream).unwrap() > 0);
        }
        assert_eq!(deframer.next().unwrap(), [7; 65_535]);
    }
}
