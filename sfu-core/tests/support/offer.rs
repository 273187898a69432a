//! Offers as Chromium words them, with VP8, VP9, Opus and RTX only.

use std::fmt::Write;

use sfu_core::sdp::{Fingerprint, IceCredentials, Offer, OfferLimits};

/// The payload types of every offer.
pub const OPUS: u8 = 111;
pub const VP8: u8 = 96;
pub const VP8_RTX: u8 = 97;
pub const VP9: u8 = 98;

/// The ids of header extensions in every offer.
pub const AUDIO_LEVEL: u8 = 1;
pub const ABS_SEND_TIME: u8 = 2;
pub const TRANSPORT_CC: u8 = 3;
pub const MID: u8 = 4;
pub const RID: u8 = 10;
pub const REPAIRED_RID: u8 = 11;

/// One m-line.
#[derive(Debug, Clone)]
pub enum Line {
    Audio {
        mid: String,
        direction: &'static str,
    },
    /// Opus with these payload types, plain and redundant.
    Redundant {
        mid: String,
        direction: &'static str,
        opus: u8,
        red: u8,
    },
    Video {
        mid: String,
        direction: &'static str,
        rids: &'static [&'static str],
    },
    Data {
        mid: String,
    },
}

/// The text of an offer.
pub fn text(ice: &IceCredentials, fingerprint: &Fingerprint, lines: &[Line]) -> String {
    let mut sdp = String::from("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE");
    for line in lines {
        write!(sdp, " {}", line.mid()).unwrap();
    }
    sdp.push_str("\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n");
    for line in lines {
        line.head(&mut sdp);
        write!(
            sdp,
            "c=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:{}\r\n",
            ice.ufrag,
            ice.password,
            line.mid()
        )
        .unwrap();
        line.body(&mut sdp);
    }
    sdp
}

/// The same, parsed.
pub fn parsed(ice: &IceCredentials, fingerprint: &Fingerprint, lines: &[Line]) -> Box<Offer> {
    Box::new(Offer::parse(&text(ice, fingerprint, lines), &OfferLimits::default()).expect("a valid offer"))
}

/// The same of a client that gives no transport-wide feedback.
pub fn without_transport_cc(ice: &IceCredentials, fingerprint: &Fingerprint, lines: &[Line]) -> Box<Offer> {
    let names_it = |line: &&str| line.contains("transport-wide-cc") || line.ends_with(" transport-cc");
    let text = text(ice, fingerprint, lines);
    let rest = text.lines().filter(|line| !names_it(line)).map(|line| format!("{line}\r\n"));
    Box::new(Offer::parse(&rest.collect::<String>(), &OfferLimits::default()).expect("a valid offer"))
}

/// The same of a client that knows no video codec but VP8.
pub fn without_vp9(ice: &IceCredentials, fingerprint: &Fingerprint, lines: &[Line]) -> Box<Offer> {
    let text = text(ice, fingerprint, lines).replace(" 96 97 98 99", " 96 97");
    let rest = text.lines().filter(|line| !line.contains(":98 ") && !line.contains(":99 "));
    let rest = rest.map(|line| format!("{line}\r\n"));
    Box::new(Offer::parse(&rest.collect::<String>(), &OfferLimits::default()).expect("a valid offer"))
}

impl Line {
    fn mid(&self) -> &str {
        match self {
            Self::Audio { mid, .. } | Self::Redundant { mid, .. } | Self::Video { mid, .. } | Self::Data { mid } => mid,
        }
    }

    fn head(&self, sdp: &mut String) {
        sdp.push_str(match self {
            Self::Redundant { opus, red, .. } => {
                return write!(sdp, "m=audio 9 UDP/TLS/RTP/SAVPF {opus} {red}\r\n").unwrap();
            }
            Self::Audio { .. } => "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n",
            Self::Video { .. } => "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99\r\n",
            Self::Data { .. } => "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
        });
    }

    fn body(&self, sdp: &mut String) {
        const EXTENSIONS: &str = "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
            a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
            a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtcp-mux\r\na=rtcp-rsize\r\n";
        match self {
            Self::Data { .. } => sdp.push_str("a=sctp-port:5000\r\na=max-message-size:262144\r\n"),
            Self::Audio { direction, .. } => write!(
                sdp,
                "a={direction}\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n{EXTENSIONS}\
                 a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
                 a=fmtp:111 minptime=10;useinbandfec=1\r\n"
            )
            .unwrap(),
            Self::Redundant { direction, opus, red, .. } => write!(
                sdp,
                "a={direction}\r\n{EXTENSIONS}a=rtpmap:{opus} opus/48000/2\r\na=fmtp:{opus} minptime=10\r\n\
                 a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {opus}/{opus}\r\n"
            )
            .unwrap(),
            Self::Video { direction, rids, .. } => {
                write!(
                    sdp,
                    "a={direction}\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
                     a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n\
                     a=extmap:13 urn:3gpp:video-orientation\r\n{EXTENSIONS}\
                     a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\n\
                     a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
                     a=rtpmap:98 VP9/90000\r\na=rtcp-fb:98 transport-cc\r\na=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\n\
                     a=fmtp:98 profile-id=0\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n"
                )
                .unwrap();
                rids.iter().for_each(|rid| write!(sdp, "a=rid:{rid} send\r\n").unwrap());
                if !rids.is_empty() {
                    write!(sdp, "a=simulcast:send {}\r\n", rids.join(";")).unwrap();
                }
            }
        }
    }
}
