//! The binary header of every data channel message (docs/protocol.md). Big-endian:
//!
//! ```text
//! u8 version = 1 | u8 kind | u16 flags = 0
//! [12] sender: a ParticipantId's bits, zero from the client, set by the server
//! u8 topic length | topic, UTF-8
//! u8 destination count, 0: everybody in the room | that many [12] ParticipantId bits; none when delivered
//! u32 stream id | u32 chunk index | payload: the rest
//! ```
//!
//! [`Envelope::parse`] borrows and is total. The server reads whom a message is for, writes who sent it and passes the
//! payload on unread: [`Envelope::deliver`].

use crate::id::ParticipantId;

const VERSION: u8 = 1;
const ID: usize = 12;
/// The most bytes of a whole message, envelope included.
const MAX_MESSAGE: usize = 64 * 1024;

/// What the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole message of bytes.
    Packet = 0,
    /// A whole message of UTF-8.
    Text = 1,
    /// The head of a stream of chunks: JSON with name, type and size.
    StreamHeader = 2,
    /// A chunk of a stream.
    StreamChunk = 3,
    /// The end of a stream: nothing, or JSON with an error.
    StreamEnd = 4,
    /// A remote procedure call.
    RpcRequest = 5,
    /// Its answer.
    RpcResponse = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Packet,
            Self::Text,
            Self::StreamHeader,
            Self::StreamChunk,
            Self::StreamEnd,
            Self::RpcRequest,
            Self::RpcResponse,
        ];
        all.get(usize::from(byte)).copied()
    }
}

/// Why a message is no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The message ends within its header.
    #[error("the envelope is cut short")]
    Truncated,
    /// The message is over 64 KiB.
    #[error("the message is too large")]
    TooLarge,
    /// Another version of the envelope.
    #[error("unknown envelope version {0}")]
    Version(u8),
    /// A kind that this version does not know.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// The topic is not UTF-8.
    #[error("the topic is not UTF-8")]
    Topic,
}

/// The participants that a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destinations<'a>(&'a [[u8; ID]]);

impl<'a> Destinations<'a> {
    /// Those with these bits. At most 255 are ever written.
    pub fn new(ids: &'a [[u8; ID]]) -> Self {
        Self(&ids[..ids.len().min(255)])
    }

    /// Whether the message is for everybody in the room.
    pub fn is_everybody(&self) -> bool {
        self.0.is_empty()
    }

    /// Whom it names; none if it is for everybody. A participant may be named twice.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ParticipantId> + 'a {
        self.0.iter().map(|bits| ParticipantId::from_bytes(*bits))
    }
}

/// A message with its header read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Reserved; zero.
    pub flags: u16,
    /// Who sent it. What a client writes here means nothing.
    pub sender: ParticipantId,
    /// What it is about; clients filter by it. At most 255 bytes.
    pub topic: &'a str,
    /// Whom it is for.
    pub destinations: Destinations<'a>,
    /// The stream, by the sender's numbering.
    pub stream: u32,
    /// The chunk within the stream.
    pub chunk: u32,
    /// The server never looks into it.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads a message.
    pub fn parse(message: &'a [u8]) -> Result<Self, EnvelopeError> {
        if message.len() > MAX_MESSAGE {
            return Err(EnvelopeError::TooLarge);
        }
        let mut rest = message;
        let [version, kind, flags @ ..] = *take::<4>(&mut rest)?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let kind = Kind::from_byte(kind).ok_or(EnvelopeError::Kind(kind))?;
        let sender = ParticipantId::from_bytes(*take(&mut rest)?);
        let [topic_len] = *take(&mut rest)?;
        let topic = rest.split_off(..usize::from(topic_len)).ok_or(EnvelopeError::Truncated)?;
        let topic = std::str::from_utf8(topic).map_err(|_| EnvelopeError::Topic)?;
        let [count] = *take(&mut rest)?;
        let ids = rest.split_off(..usize::from(count) * ID).ok_or(EnvelopeError::Truncated)?;
        let destinations = Destinations(ids.as_chunks().0);
        let stream = u32::from_be_bytes(*take(&mut rest)?);
        let chunk = u32::from_be_bytes(*take(&mut rest)?);
        let flags = u16::from_be_bytes(flags);
        Ok(Self { kind, flags, sender, topic, destinations, stream, chunk, payload: rest })
    }

    /// Appends the message as it is. A topic over 255 bytes is cut at a character.
    pub fn write(&self, out: &mut Vec<u8>) {
        let topic = &self.topic.as_bytes()[..self.topic.floor_char_boundary(255)];
        out.extend([VERSION, self.kind as u8]);
        out.extend(self.flags.to_be_bytes());
        out.extend(self.sender.as_bytes());
        out.push(topic.len() as u8);
        out.extend(topic);
        out.push(self.destinations.0.len() as u8);
        out.extend(self.destinations.0.as_flattened());
        out.extend(self.stream.to_be_bytes());
        out.extend(self.chunk.to_be_bytes());
        out.extend(self.payload);
    }

    /// The message as receivers get it: with its sender, without its destinations. One serves them all.
    pub fn deliver(&self, sender: ParticipantId) -> Vec<u8> {
        let mut out = Vec::with_capacity(26 + self.topic.len() + self.payload.len());
        Self { sender, destinations: Destinations(&[]), ..*self }.write(&mut out);
        out
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], EnvelopeError> {
    let (head, tail) = rest.split_first_chunk().ok_or(EnvelopeError::Truncated)?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes of the specification, so that both ends can be tested against the same text.
    #[test]
    fn the_layout_is_the_documented_one() {
        let ids = [[0xbb; 12]];
        let envelope = Envelope {
            kind: Kind::StreamChunk,
            flags: 0,
            sender: ParticipantId::from_bytes([0xaa; 12]),
            topic: "file",
            destinations: Destinations::new(&ids),
            stream: 7,
            chunk: 0x0102_0304,
            payload: b"xyz",
        };
        let mut bytes = Vec::new();
        envelope.write(&mut bytes);
        let expected =
            [&[1, 3, 0, 0][..], &[0xaa; 12], &[4], b"file", &[1], &[0xbb; 12], &[0, 0, 0, 7], &[1, 2, 3, 4], b"xyz"];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(Envelope::parse(&[]), Err(EnvelopeError::Truncated));
        assert_eq!(Envelope::parse(&[2; 40]), Err(EnvelopeError::Version(2)));
        assert_eq!(Envelope::parse(&[1, 7, 0, 0]), Err(EnvelopeError::Kind(7)));
        assert_eq!(Envelope::parse(&vec![1; MAX_MESSAGE + 1]), Err(EnvelopeError::TooLarge));
        let mut bad_topic = vec![1; 64];
        bad_topic[17] = 0xff;
        assert_eq!(Envelope::parse(&bad_topic), Err(EnvelopeError::Topic));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            kind in 0u8..7, flags: u16, sender: [u8; 12], topic in ".{0,60}",
            ids in proptest::collection::vec(any::<[u8; 12]>(), 0..5), stream: u32, chunk: u32, payload: Vec<u8>,
        ) {
            let envelope = Envelope {
                kind: Kind::from_byte(kind).unwrap(),
                flags,
                sender: ParticipantId::from_bytes(sender),
                topic: &topic[..topic.floor_char_boundary(255)],
                destinations: Destinations::new(&ids),
                stream,
                chunk,
                payload: &payload,
            };
            let mut bytes = Vec::new();
            envelope.write(&mut bytes);
            prop_assert_eq!(Envelope::parse(&bytes), Ok(envelope));
            for cut in 0..bytes.len() - payload.len() {
                prop_assert!(Envelope::parse(&bytes[..cut]).is_err());
            }
            let delivered = envelope.deliver(ParticipantId::from_bytes([1; 12]));
            let delivered = Envelope::parse(&delivered).unwrap();
            prop_assert!(delivered.destinations.is_everybody());
            prop_assert_eq!(delivered.sender, ParticipantId::from_bytes([1; 12]));
            prop_assert_eq!(delivered.payload, &payload[..]);
        }

        #[test]
        fn parsing_is_total(mut message: Vec<u8>) {
            let _ = Envelope::parse(&message);
            message.splice(..0, [1, 0]);
            if let Ok(envelope) = Envelope::parse(&message) {
                prop_assert_eq!(envelope.destinations.iter().count(), envelope.destinations.iter().len());
            }
        }
    }
}
