//! The codecs of an m-line: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb`, joined by payload type.

use super::codec::Codec;
use super::error::{self, NegotiationError};
use super::fmtp::{self, Parameters};
use super::value::Feedback;

/// A codec that both sides know, with the offer's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// Which one.
    pub codec: Codec,
    /// Its payload type, 0 to 127.
    pub payload_type: u8,
    /// Whether streams of other H264 profiles and packetization modes are sent as this one, too.
    pub is_lenient: bool,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Its redundant form (RFC 2198), for audio.
    pub red: Option<RedFormat>,
    /// The feedback that may be sent for it.
    pub feedback: Feedback,
    /// The `a=fmtp` parameters, as the answer gives them.
    pub fmtp: Option<String>,
}

/// Audio with copies of earlier packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedFormat {
    /// Its payload type.
    pub payload_type: u8,
    /// The offer prefers it to plain audio. A client sends what the answer names first.
    pub preferred: bool,
}

/// What an m-line says of one payload type.
#[derive(Debug, Clone, Default)]
struct Format<'a> {
    payload_type: u8,
    rtpmap: Option<&'a str>,
    fmtp: Option<&'a str>,
    feedback: Feedback,
}

/// The formats of an m-line, while its attributes are read.
#[derive(Debug)]
pub(super) struct Formats<'a> {
    /// In the order of the m-line. At most 128.
    list: Vec<Format<'a>>,
    /// `a=rtcp-fb:*`
    wildcard: Feedback,
}

impl<'a> Formats<'a> {
    /// The formats that the m-line itself lists.
    pub(super) fn new(formats: &'a [String]) -> Result<Self, NegotiationError> {
        let mut list: Vec<Format<'a>> = Vec::new();
        for text in formats {
            let payload_type =
                payload_type(text).ok_or_else(|| NegotiationError::malformed(format!("format {text}")))?;
            if !list.iter().any(|format| format.payload_type == payload_type) {
                list.push(Format { payload_type, ..Format::default() });
            }
        }
        Ok(Self { list, wildcard: Feedback::default() })
    }

    /// What the m-line offers, for an error message: the encoding names of media, without those that repair it.
    pub(super) fn names(&self) -> String {
        let repairs = ["rtx", "red", "ulpfec", "flexfec-03", "CN", "telephone-event"];
        let mut names: Vec<String> = Vec::new();
        for format in &self.list {
            let name = match format.rtpmap {
                Some(rtpmap) => rtpmap.split('/').next().unwrap_or_default().to_owned(),
                None => format!("payload type {}", format.payload_type),
            };
            if !names.contains(&name) && !repairs.iter().any(|repair| repair.eq_ignore_ascii_case(&name)) {
                names.push(name);
            }
        }
        error::excerpt(&names.join(", "))
    }

    /// `a=rtpmap:{value}`
    pub(super) fn note_rtpmap(&mut self, value: &'a str) -> Result<(), NegotiationError> {
        self.note(value, |format| &mut format.rtpmap)
    }

    /// `a=fmtp:{value}`
    pub(super) fn note_fmtp(&mut self, value: &'a str) -> Result<(), NegotiationError> {
        self.note(value, |format| &mut format.fmtp)
    }

    /// `a=rtcp-fb:{value}`
    pub(super) fn note_feedback(&mut self, value: &'a str) -> Result<(), NegotiationError> {
        let Some((number, what)) = value.split_once(' ') else { return Ok(()) };
        if number == "*" {
            self.wildcard.note(what);
        } else if let Some(format) = self.find(number)? {
            format.feedback.note(what);
        }
        Ok(())
    }

    /// A payload type has one rtpmap and one fmtp: the first holds. Attributes of payload types that the m-line does not list are
    /// ignored.
    fn note(
        &mut self,
        value: &'a str,
        field: impl for<'f> Fn(&'f mut Format<'a>) -> &'f mut Option<&'a str>,
    ) -> Result<(), NegotiationError> {
        let (number, what) = value.split_once(' ').unwrap_or((value, ""));
        let Some(format) = self.find(number)? else { return Ok(()) };
        field(format).get_or_insert(what.trim());
        Ok(())
    }

    fn find(&mut self, number: &str) -> Result<Option<&mut Format<'a>>, NegotiationError> {
        let payload_type =
            payload_type(number).ok_or_else(|| NegotiationError::malformed(format!("payload type {number}")))?;
        Ok(self.list.iter_mut().find(|format| format.payload_type == payload_type))
    }

    /// The codecs that we know, in the offer's order, with their retransmissions.
    pub(super) fn codecs(&self) -> Result<Vec<NegotiatedCodec>, NegotiationError> {
        let mut codecs = Vec::new();
        for format in &self.list {
            let Some(codec) = format.codec().filter(|_| is_usable(format.payload_type)) else { continue };
            let fmtp = format.fmtp.map(echoed).transpose()?;
            let feedback = format.feedback.or(self.wildcard);
            codecs.push(NegotiatedCodec {
                codec,
                payload_type: format.payload_type,
                is_lenient: false,
                rtx: self.rtx(format.payload_type),
                red: self.red(format.payload_type).filter(|_| codec == Codec::Opus),
                feedback: if codec == Codec::Opus { feedback.for_audio() } else { feedback },
                fmtp,
            });
        }
        Ok(codecs)
    }

    /// The first payload type for retransmissions of this one.
    fn rtx(&self, payload_type: u8) -> Option<u8> {
        let of_this = |format: &&Format<'_>| {
            format.rtpmap.is_some_and(fmtp::is_rtx)
                && format.fmtp.and_then(|text| Parameters(text).apt()) == Some(payload_type)
        };
        self.list.iter().find(of_this).map(|format| format.payload_type).filter(|number| is_usable(*number))
    }
}

impl Formats<'_> {
    /// The first payload type for redundant audio that has blocks of this one only.
    fn red(&self, payload_type: u8) -> Option<RedFormat> {
        let of_this = |format: &Format<'_>| {
            format.rtpmap.is_some_and(fmtp::is_red)
                && format.fmtp.is_some_and(|blocks| fmtp::is_of(blocks, payload_type))
        };
        let place = self.list.iter().position(|format| of_this(format) && is_usable(format.payload_type))?;
        let plain = self.list.iter().position(|format| format.payload_type == payload_type)?;
        Some(RedFormat { payload_type: self.list[place].payload_type, preferred: place < plain })
    }
}

impl Format<'_> {
    fn codec(&self) -> Option<Codec> {
        fmtp::codec(self.rtpmap?, Parameters(self.fmtp.unwrap_or_default()))
    }
}

/// A payload type's number: seven bits (RFC 3550 section 5.1).
fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

/// With the marker bit, 64 to 95 look like RTCP, which shares the port (RFC 5761 section 4).
const fn is_usable(payload_type: u8) -> bool {
    !matches!(payload_type, 64..=95)
}

/// Parameters that go into the answer as they are.
fn echoed(text: &str) -> Result<String, NegotiationError> {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    visible.then(|| text.to_owned()).ok_or_else(|| NegotiationError::malformed("a=fmtp is not ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(numbers: &[String]) -> Formats<'_> {
        Formats::new(numbers).unwrap()
    }

    fn numbers(list: &str) -> Vec<String> {
        list.split(' ').map(String::from).collect()
    }

    #[test]
    fn retransmissions_belong_to_a_codec_that_is_known() {
        let list = numbers("96 97 98 99");
        let mut formats = formats(&list);
        for rtpmap in ["96 red/90000", "97 rtx/90000", "98 VP8/90000", "99 rtx/90000"] {
            formats.note_rtpmap(rtpmap).unwrap();
        }
        formats.note_fmtp("97 apt=96").unwrap();
        formats.note_fmtp("99 apt=98").unwrap();
        let codecs = formats.codecs().unwrap();
        assert_eq!(codecs.len(), 1);
        assert_eq!((codecs[0].payload_type, codecs[0].rtx), (98, Some(99)));
    }

    #[test]
    fn redundant_audio_is_of_opus_and_keeps_its_rank() {
        let red = |list: &str, blocks: &str| {
            let list = numbers(list);
            let mut formats = formats(&list);
            formats.note_rtpmap("111 opus/48000/2").unwrap();
            formats.note_rtpmap("63 red/48000/2").unwrap();
            formats.note_fmtp(blocks).unwrap();
            let codecs = formats.codecs().unwrap();
            assert_eq!(codecs.len(), 1);
            codecs[0].red.map(|red| (red.payload_type, red.preferred))
        };
        assert_eq!(red("111 63", "63 111/111"), Some((63, false)));
        assert_eq!(red("63 111", "63 111/111/111"), Some((63, true)));
        assert_eq!(red("111 63", "63 111/0"), None);
        assert_eq!(red("111 63", "63 111"), None, "no redundancy");
        assert_eq!(red("111 63", "63"), None);
    }

    #[test]
    fn one_payload_type_is_one_codec() {
        let list = numbers("96");
        let mut formats = formats(&list);
        formats.note_rtpmap("96 VP8/90000").unwrap();
        formats.note_rtpmap("96 VP9/90000").unwrap();
        assert_eq!(formats.codecs().unwrap()[0].codec, Codec::Vp8, "the first holds");
        assert_eq!(formats.note_rtpmap("x VP9/90000").unwrap_err().code(), "sdp_malformed");
        assert_eq!(formats.note_rtpmap("97 VP9/90000"), Ok(()));
        assert_eq!(Formats::new(&numbers("96 96")).unwrap().list.len(), 1);
        assert_eq!(Formats::new(&numbers("128")).unwrap_err().code(), "sdp_malformed");
    }

    #[test]
    fn payload_types_that_look_like_rtcp_are_left_out() {
        let list = numbers("63 64 95 96 97");
        let mut formats = formats(&list);
        for number in ["63 VP8/90000", "95 VP8/90000", "96 VP8/90000", "64 rtx/90000", "97 rtx/90000"] {
            formats.note_rtpmap(number).unwrap();
        }
        for line in ["64 apt=63", "97 apt=96"] {
            formats.note_fmtp(line).unwrap();
        }
        let codecs = formats.codecs().unwrap();
        let numbers: Vec<_> = codecs.iter().map(|codec| (codec.payload_type, codec.rtx)).collect();
        assert_eq!(numbers, [(63, None), (96, Some(97))]);
    }

    #[test]
    fn audio_takes_no_picture_feedback() {
        let list = numbers("111");
        let mut formats = formats(&list);
        formats.note_rtpmap("111 opus/48000/2").unwrap();
        formats.note_fmtp("111 minptime=10;stereo=1;useinbandfec=1").unwrap();
        formats.note_feedback("* nack").unwrap();
        formats.note_feedback("111 nack pli").unwrap();
        formats.note_feedback("111 transport-cc").unwrap();
        let codec = formats.codecs().unwrap().remove(0);
        assert_eq!(codec.feedback, Feedback { nack: true, transport_cc: true, ..Feedback::default() });
        assert_eq!(codec.fmtp.as_deref(), Some("minptime=10;stereo=1;useinbandfec=1"));
    }

    #[test]
    fn echoed_parameters_are_ascii() {
        let list = numbers("96");
        let mut formats = formats(&list);
        formats.note_rtpmap("96 VP8/90000").unwrap();
        formats.note_fmtp("96 x=é").unwrap();
        assert_eq!(formats.codecs().unwrap_err().code(), "sdp_malformed");
    }
}
