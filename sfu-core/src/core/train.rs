//! Trains: datagrams of equal size for one path, back to back in one buffer, as UDP GSO wants them (`UDP_SEGMENT`).
//!
//! Packets are sealed in place in a train. Only the last datagram of a train may be shorter than the others; a longer
//! one, or one for another path, opens the next train. Order within a path is the order of [`Trains::push`].
//!
//! Buffers are kept and used again: in the steady state nothing is allocated.

use crate::transport::Path;

use super::Transmit;

/// Datagrams of one train. A shallow queue on the way drops longer bursts (design/performance: 8 to 10).
const MAX_DATAGRAMS: usize = 10;

/// By so many bytes at most a datagram grows to be as long as those before it.
const MAX_GROWTH: usize = 4;

/// What a train's buffer starts with: room for [`MAX_DATAGRAMS`] of an Ethernet frame's size.
const BUFFER_BYTES: usize = MAX_DATAGRAMS * 1500;

/// Buffers kept for the next flush; what a burst needed beyond them is given back.
const MAX_KEPT: usize = 1024;

/// A destination's reference to the train that is still open for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpenTrain {
    /// The flush in which `index` was opened; 0: never.
    flush: u64,
    index: usize,
}

#[derive(Debug)]
struct Train {
    path: Path,
    buffer: Vec<u8>,
    filled: usize,
    segment: usize,
    datagrams: usize,
    closed: bool,
}

/// All trains since the last flush.
#[derive(Debug)]
pub(super) struct Trains {
    /// The first `used` are full or open; the others wait to be used again.
    trains: Vec<Train>,
    used: usize,
    flush: u64,
    /// The last media packet is not the last of its video frame.
    unfinished: bool,
}

impl Trains {
    pub(super) fn new() -> Self {
        Self { trains: Vec::new(), used: 0, flush: 1, unfinished: false }
    }

    /// Appends a datagram of exactly `len` bytes for `path` and returns its place, whose content is arbitrary.
    pub(super) fn push(&mut self, open: &mut OpenTrain, path: Path, len: usize) -> &mut [u8] {
        let fits = self.fitting(*open, path, len).is_some();
        self.append(open, path, len, fits)
    }

    /// The same for one that may be up to [`MAX_GROWTH`] bytes longer and is not the last of its frame. Encoders cut a frame
    /// into packets of n and n + 1 bytes, the shorter ones first: with the first one byte longer, and the others as long as
    /// it, they make one train instead of two.
    pub(super) fn push_even(&mut self, open: &mut OpenTrain, path: Path, len: usize) -> &mut [u8] {
        let train = self.fitting(*open, path, len);
        let missing = train.map_or(1, |train| train.segment - len);
        let (fits, growth) = (train.is_some(), if missing <= MAX_GROWTH { missing } else { 0 });
        self.append(open, path, len + growth, fits)
    }

    #[inline]
    fn fitting(&self, open: OpenTrain, path: Path, len: usize) -> Option<&Train> {
        (open.flush == self.flush).then(|| &self.trains[open.index]).filter(|train| train.fits(path, len))
    }

    #[inline]
    fn append(&mut self, open: &mut OpenTrain, path: Path, len: usize, fits: bool) -> &mut [u8] {
        if !fits {
            *open = OpenTrain { flush: self.flush, index: self.open(path, len) };
        }
        self.trains[open.index].append(len)
    }

    /// Notes whether the frame goes on whose packet was pushed last.
    pub(super) const fn set_unfinished(&mut self, unfinished: bool) {
        self.unfinished = unfinished;
    }

    /// Whether more of a frame may be on its way.
    pub(super) const fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// The trains in the order in which they were opened.
    pub(super) fn iter(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.trains[..self.used].iter().map(|train| Transmit {
            path: train.path,
            data: &train.buffer[..train.filled],
            segment: train.segment,
        })
    }

    /// Forgets all trains, after they were sent.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.unfinished = false;
        self.flush += 1;
        if self.trains.len() > MAX_KEPT {
            self.trains.truncate(MAX_KEPT);
            self.trains.shrink_to_fit();
        }
    }

    fn open(&mut self, path: Path, len: usize) -> usize {
        let index = self.used;
        self.used += 1;
        if index == self.trains.len() {
            let buffer = vec![0; BUFFER_BYTES];
            self.trains.push(Train { path, buffer, filled: 0, segment: len, datagrams: 0, closed: false });
        }
        let train = &mut self.trains[index];
        train.path = path;
        train.filled = 0;
        train.segment = len;
        train.datagrams = 0;
        train.closed = false;
        index
    }
}

impl Train {
    fn fits(&self, path: Path, len: usize) -> bool {
        !self.closed && self.path == path && len <= self.segment && self.datagrams < MAX_DATAGRAMS
    }

    fn append(&mut self, len: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled += len;
        self.datagrams += 1;
        self.closed = len < self.segment;
        if self.filled > self.buffer.len() {
            self.buffer.resize(self.filled, 0);
        }
        &mut self.buffer[start..self.filled]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::Protocol;

    fn path(port: u16) -> Path {
        let address = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Path { protocol: Protocol::Udp, local: address(1), remote: address(port) }
    }

    proptest! {
        /// Whatever is pushed comes out once, whole, and in order for each path.
        #[test]
        fn trains_split_back_into_their_datagrams(
            datagrams in prop::collection::vec((0u16..3, prop::sample::select(vec![60usize, 1100, 1101, 1500])), 0..200),
        ) {
            let mut trains = Trains::new();
            for round in 0..2u8 {
                let mut open = [OpenTrain::default(); 3];
                let mut expected = [const { Vec::new() }; 3];
                for (index, &(port, len)) in datagrams.iter().enumerate() {
                    let fill = (index as u8).wrapping_add(round);
                    trains.push(&mut open[usize::from(port)], path(port), len).fill(fill);
                    expected[usize::from(port)].push(vec![fill; len]);
                }
                let mut got = [const { Vec::new() }; 3];
                for train in trains.iter() {
                    prop_assert!(train.data.len().div_ceil(train.segment) <= MAX_DATAGRAMS);
                    let port = usize::from(train.path.remote.port());
                    got[port].extend(train.data.chunks(train.segment).map(<[u8]>::to_vec));
                }
                prop_assert_eq!(got, expected);
                trains.clear();
                prop_assert_eq!(trains.iter().count(), 0);
            }
        }
    }

    #[test]
    fn packets_of_nearly_one_size_make_one_train() {
        let (mut trains, mut open) = (Trains::new(), OpenTrain::default());
        let frame = [1_157, 1_157, 1_157, 1_158, 1_158];
        for (index, len) in frame.into_iter().enumerate() {
            let is_last = index + 1 == frame.len();
            let place =
                if is_last { trains.push(&mut open, path(2), len) } else { trains.push_even(&mut open, path(2), len) };
            assert!((len..=len + 1).contains(&place.len()));
        }
        let sizes: Vec<_> = trains.iter().map(|train| (train.segment, train.data.len())).collect();
        assert_eq!(sizes, [(1_158, 5 * 1_158)]);
        assert_eq!(trains.push_even(&mut open, path(2), 1_000).len(), 1_000, "much shorter: it ends the train");
        assert_eq!(trains.push_even(&mut open, path(2), 1_200).len(), 1_201, "longer: it begins one");
    }
}
