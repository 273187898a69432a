//! The session descriptions of synthetic participants: offers like a browser's, and what a server says in its answer or
//! its own offer (RFC 8829, as much as a test client needs).
//!
//! Our offers use fixed payload types and header extension ids, so that the media path needs no table per participant.
//! Where the server offers (Janus' subscriptions) its numbers count.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use sfu_core::rtp::Extension;
use sfu_core::sdp::{Fingerprint, IceCredentials};

use crate::peer::{OPUS, VP8, VP8_RTX};
use crate::stamp::Kind;

/// The names of simulcast encodings, from the smallest on.
pub const RIDS: [&str; 3] = ["q", "h", "f"];
/// Ids of header extensions in our offers.
pub const MID: u8 = 1;
/// Of the transport-wide sequence number.
pub const TRANSPORT_CC: u8 = 2;
/// Of the audio level.
pub const AUDIO_LEVEL: u8 = 3;
/// Of the encoding's name.
pub const RID: u8 = 4;
/// Of the name of the encoding that RTX repairs.
pub const REPAIRED_RID: u8 = 5;

/// What a participant wants to send and to receive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Lines that send: kind, and how many encodings.
    pub send: Vec<(Kind, usize)>,
    /// Lines that receive.
    pub receive: Vec<Kind>,
}

/// One RTP stream that we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Of the media.
    pub ssrc: u32,
    /// Of retransmissions, for video.
    pub rtx: Option<u32>,
    /// With simulcast: its name.
    pub rid: Option<&'static str>,
}

/// One m-line that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendLine {
    /// Audio or video.
    pub kind: Kind,
    /// Its tag.
    pub mid: String,
    /// One, or the three of simulcast from the smallest on.
    pub encodings: Vec<Encoding>,
}

/// An offer of ours.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The SDP.
    pub text: String,
    /// Ours.
    pub ice: IceCredentials,
    /// In the order of the wishes.
    pub send: Vec<SendLine>,
    /// The tags of receiving lines, in the order of the wishes.
    pub receive: Vec<(Kind, String)>,
}

/// Payload types as both sides agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadTypes {
    /// Of VP8.
    pub video: u8,
    /// Of its retransmissions; 255, which no packet has, without RTX.
    pub rtx: u8,
    /// Of Opus.
    pub audio: u8,
}

/// Those of our offers.
pub const OFFERED: PayloadTypes = PayloadTypes { video: VP8, rtx: VP8_RTX, audio: OPUS };

impl Offer {
    /// Writes an offer. SSRCs and MIDs are fresh.
    pub fn new(wishes: &Wishes, ice: IceCredentials, fingerprint: Fingerprint) -> Self {
        let mut offer = Self { text: String::new(), ice, send: Vec::new(), receive: Vec::new() };
        let mut body = String::new();
        for (kind, encodings) in &wishes.send {
            let line = send_line(*kind, *encodings, offer.send.len().to_string());
            write_line(&mut body, *kind, &line.mid, "sendonly");
            write_sources(&mut body, &line);
            offer.send.push(line);
        }
        for kind in &wishes.receive {
            let mid = (offer.send.len() + offer.receive.len()).to_string();
            write_line(&mut body, *kind, &mid, "recvonly");
            offer.receive.push((*kind, mid));
        }
        let mids = (0..offer.send.len() + offer.receive.len()).map(|mid| format!(" {mid}")).collect::<String>();
        offer.text = head(&offer.ice, fingerprint, "actpass", &mids) + &body;
        offer
    }
}

fn send_line(kind: Kind, encodings: usize, mid: String) -> SendLine {
    let is_video = kind == Kind::Video;
    let encoding = |index: usize| Encoding {
        ssrc: rand::random(),
        rtx: is_video.then(rand::random),
        rid: (encodings > 1).then(|| RIDS[index]),
    };
    SendLine { kind, mid, encodings: (0..encodings).map(encoding).collect() }
}

fn head(ice: &IceCredentials, fingerprint: Fingerprint, setup: &str, mids: &str) -> String {
    format!(
        "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\na=extmap-allow-mixed\r\n\
         a=msid-semantic: WMS *\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\n",
        rand::random::<u32>(),
        ice.ufrag,
        ice.password,
    )
}

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{
        let _ = write!($out, $($text)*);
        $out.push_str("\r\n");
    }};
}

fn write_line(out: &mut String, kind: Kind, mid: &str, direction: &str) {
    match kind {
        Kind::Audio => put!(out, "m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}"),
        Kind::Video => put!(out, "m=video 9 UDP/TLS/RTP/SAVPF {VP8} {VP8_RTX}"),
    }
    put!(out, "c=IN IP4 0.0.0.0");
    put!(out, "a=mid:{mid}");
    put!(out, "a={direction}");
    put!(out, "a=rtcp-mux");
    put!(out, "a=rtcp-rsize");
    let extension = |out: &mut String, id: u8, extension: Extension| put!(out, "a=extmap:{id} {}", extension.uri());
    extension(out, MID, Extension::Mid);
    extension(out, TRANSPORT_CC, Extension::TransportCc);
    match kind {
        Kind::Audio => {
            extension(out, AUDIO_LEVEL, Extension::AudioLevel);
            put!(out, "a=rtpmap:{OPUS} opus/48000/2");
            put!(out, "a=rtcp-fb:{OPUS} transport-cc");
            put!(out, "a=fmtp:{OPUS} minptime=10;useinbandfec=1;usedtx=1");
        }
        Kind::Video => {
            extension(out, RID, Extension::Rid);
            extension(out, REPAIRED_RID, Extension::RepairedRid);
            put!(out, "a=rtpmap:{VP8} VP8/90000");
            for feedback in ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"] {
                put!(out, "a=rtcp-fb:{VP8} {feedback}");
            }
            put!(out, "a=rtpmap:{VP8_RTX} rtx/90000");
            put!(out, "a=fmtp:{VP8_RTX} apt={VP8}");
        }
    }
}

fn write_sources(out: &mut String, line: &SendLine) {
    put!(out, "a=msid:stream {}-track", line.mid);
    if line.encodings.len() > 1 {
        for encoding in &line.encodings {
            put!(out, "a=rid:{} send", encoding.rid.unwrap_or_default());
        }
        let rids: Vec<&str> = line.encodings.iter().filter_map(|encoding| encoding.rid).collect();
        put!(out, "a=simulcast:send {}", rids.join(";"));
        return;
    }
    for Encoding { ssrc, rtx, .. } in &line.encodings {
        if let Some(rtx) = rtx {
            put!(out, "a=ssrc-group:FID {ssrc} {rtx}");
            put!(out, "a=ssrc:{rtx} cname:load");
        }
        put!(out, "a=ssrc:{ssrc} cname:load");
    }
}

/// What the server's description says.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The server's.
    pub ice: IceCredentials,
    /// Of its certificate.
    pub fingerprint: Fingerprint,
    /// It starts the DTLS handshake; else we do.
    pub starts_dtls: bool,
    /// Its UDP candidates.
    pub candidates: Vec<SocketAddr>,
    /// Which media stream an RTX stream repairs: RTX to media.
    pub repairs: Vec<(u32, u32)>,
    /// Its m-lines.
    pub media: Vec<RemoteMedia>,
}

/// One m-line of the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteMedia {
    /// `audio`, `video`, `application`.
    pub kind: String,
    /// Not refused.
    pub accepted: bool,
    /// Its tag.
    pub mid: String,
    /// The side that wrote it sends.
    pub sends: bool,
    /// Payload types and their codecs, in lower case.
    pub codecs: Vec<(u8, String)>,
    /// Ids and URIs of header extensions.
    pub extensions: Vec<(u8, String)>,
}

impl Remote {
    /// Reads an answer or an offer.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut ufrag, mut password, mut fingerprint) = (None, None, None);
        let mut remote = Self {
            ice: IceCredentials { ufrag: String::new(), password: String::new() },
            fingerprint: Fingerprint([0; 32]),
            starts_dtls: false,
            candidates: Vec::new(),
            repairs: Vec::new(),
            media: Vec::new(),
        };
        for line in text.lines().map(str::trim_end) {
            if let Some(line) = line.strip_prefix("m=") {
                remote.media.push(media_line(line));
                continue;
            }
            let Some(attribute) = line.strip_prefix("a=") else { continue };
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            match name {
                "ice-ufrag" => ufrag = ufrag.or(Some(value.to_owned())),
                "ice-pwd" => password = password.or(Some(value.to_owned())),
                "fingerprint" => fingerprint = fingerprint.or(sha256(value)),
                "setup" => remote.starts_dtls |= value == "active",
                "candidate" => remote.candidates.extend(udp_candidate(value)),
                "ssrc-group" => remote.repairs.extend(fid(value)),
                _ => {
                    if let Some(media) = remote.media.last_mut() {
                        media.attribute(name, value);
                    }
                }
            }
        }
        let (Some(ufrag), Some(password)) = (ufrag, password) else { bail!("the description has no ICE credentials") };
        remote.ice = IceCredentials { ufrag, password };
        remote.fingerprint = fingerprint.context("the description has no SHA-256 fingerprint")?;
        Ok(remote)
    }

    /// The candidate to use: of our family, and loopback if we are.
    pub fn address(&self, local: IpAddr) -> anyhow::Result<SocketAddr> {
        let same_family = || self.candidates.iter().filter(|address| address.is_ipv4() == local.is_ipv4());
        let same_scope = same_family().find(|address| address.ip().is_loopback() == local.is_loopback());
        let address = same_scope.or(same_family().next()).copied();
        address.with_context(|| format!("no UDP candidate for {local} in {:?}", self.candidates))
    }

    /// The payload types of all m-lines together.
    pub fn payload_types(&self) -> PayloadTypes {
        let of = |name: &str| {
            let mut codecs = self.media.iter().flat_map(|media| &media.codecs);
            codecs.find(|(_, codec)| codec == name).map_or(u8::MAX, |(payload_type, _)| *payload_type)
        };
        PayloadTypes { video: of("vp8"), rtx: of("rtx"), audio: of("opus") }
    }

    /// The id of the transport-wide sequence number, if the server uses it.
    pub fn transport_cc(&self) -> Option<u8> {
        let mut extensions = self.media.iter().flat_map(|media| &media.extensions);
        extensions.find(|(_, uri)| uri == Extension::TransportCc.uri()).map(|(id, _)| *id)
    }

    /// The answer to an offer of the server's: every m-line is received with its VP8 or Opus.
    pub fn accept_all(&self, ice: &IceCredentials, fingerprint: Fingerprint) -> String {
        head(ice, fingerprint, "active", &self.mids()) + &self.answer_lines(|_| "recvonly")
    }

    /// A server's answer to an offer: it takes all that is sent and sends on all that is asked for, from one address.
    pub fn serve_all(&self, ice: &IceCredentials, fingerprint: Fingerprint, address: SocketAddr) -> String {
        let head = head(ice, fingerprint, "passive", &self.mids());
        let candidate = format!(
            "a=ice-lite\r\na=candidate:1 1 udp 2130706431 {} {} typ host\r\na=end-of-candidates\r\n",
            address.ip(),
            address.port()
        );
        let direction = |media: &RemoteMedia| if media.sends { "recvonly" } else { "sendonly" };
        head + &candidate + &self.answer_lines(direction)
    }

    fn mids(&self) -> String {
        self.media.iter().map(|media| format!(" {}", media.mid)).collect()
    }

    fn answer_lines(&self, direction: fn(&RemoteMedia) -> &'static str) -> String {
        let mut text = String::new();
        let video = self.payload_types().video;
        for media in &self.media {
            let formats: String = media.known().map(|(payload_type, _)| format!(" {payload_type}")).collect();
            put!(text, "m={} 9 UDP/TLS/RTP/SAVPF{formats}", media.kind);
            put!(text, "c=IN IP4 0.0.0.0");
            put!(text, "a=mid:{}", media.mid);
            put!(text, "a={}", direction(media));
            put!(text, "a=rtcp-mux");
            for (payload_type, codec) in media.known() {
                write_codec(&mut text, *payload_type, codec, video);
            }
            for (id, uri) in media.extensions.iter().filter(|(_, uri)| Extension::from_uri(uri).is_some()) {
                put!(text, "a=extmap:{id} {uri}");
            }
        }
        text
    }
}

fn write_codec(text: &mut String, payload_type: u8, codec: &str, video: u8) {
    match codec {
        "opus" => put!(text, "a=rtpmap:{payload_type} opus/48000/2"),
        "rtx" => {
            put!(text, "a=rtpmap:{payload_type} rtx/90000");
            put!(text, "a=fmtp:{payload_type} apt={video}");
        }
        _ => {
            put!(text, "a=rtpmap:{payload_type} VP8/90000");
            for feedback in ["transport-cc", "ccm fir", "nack", "nack pli"] {
                put!(text, "a=rtcp-fb:{payload_type} {feedback}");
            }
        }
    }
}

impl RemoteMedia {
    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "mid" => self.mid = value.to_owned(),
            "recvonly" | "inactive" => self.sends = false,
            "rtpmap" => self.codecs.extend(value.split_once(' ').and_then(|(payload_type, codec)| {
                let name = codec.split('/').next()?.to_ascii_lowercase();
                Some((payload_type.parse().ok()?, name))
            })),
            "extmap" => self.extensions.extend(value.split_once(' ').and_then(|(id, uri)| {
                let id = id.split('/').next()?.parse().ok()?;
                Some((id, uri.split(' ').next()?.to_owned()))
            })),
            _ => {}
        }
    }

    fn known(&self) -> impl Iterator<Item = &(u8, String)> {
        self.codecs.iter().filter(|(_, codec)| matches!(codec.as_str(), "opus" | "vp8" | "rtx"))
    }
}

fn media_line(line: &str) -> RemoteMedia {
    let mut words = line.split(' ');
    let kind = words.next().unwrap_or_default().to_owned();
    RemoteMedia { kind, accepted: words.next() != Some("0"), sends: true, ..RemoteMedia::default() }
}

fn sha256(value: &str) -> Option<Fingerprint> {
    let (hash, digest) = value.split_once(' ')?;
    digest.trim().parse().ok().filter(|_| hash.eq_ignore_ascii_case("sha-256"))
}

/// `foundation component transport priority address port typ ...`.
fn udp_candidate(value: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = value.split(' ').collect();
    let is_rtp = *words.get(1)? == "1" && words.get(2)?.eq_ignore_ascii_case("udp");
    let ip = words.get(4)?.parse().ok().filter(|_| is_rtp)?;
    Some(SocketAddr::new(ip, words.get(5)?.parse().ok()?))
}

fn fid(value: &str) -> Option<(u32, u32)> {
    let (media, rtx) = value.strip_prefix("FID ")?.split_once(' ')?;
    Some((rtx.trim().parse().ok()?, media.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_core::sdp::OfferLimits;

    fn ice() -> IceCredentials {
        IceCredentials { ufrag: "abcdefgh".into(), password: "0123456789abcdef01234567".into() }
    }

    #[test]
    fn the_server_understands_our_offer() {
        let wishes = Wishes { send: vec![(Kind::Audio, 1), (Kind::Video, 3)], receive: vec![Kind::Audio, Kind::Video] };
        let offer = Offer::new(&wishes, ice(), Fingerprint([7; 32]));
        let parsed = sfu_core::sdp::Offer::parse(&offer.text, &OfferLimits::default()).unwrap();
        assert_eq!(parsed.media().len(), 4);
        assert_eq!((parsed.ice(), parsed.fingerprint()), (&offer.ice, Fingerprint([7; 32])));
        let rids: Vec<_> = offer.send[1].encodings.iter().map(|encoding| encoding.rid.unwrap()).collect();
        assert_eq!(rids, RIDS);
        assert_eq!(offer.receive, [(Kind::Audio, "2".to_owned()), (Kind::Video, "3".to_owned())]);
    }

    #[test]
    fn a_description_is_read() {
        let text = "v=0\r\na=ice-ufrag:uf\r\na=ice-pwd:pw\r\na=fingerprint:sha-256 ".to_owned()
            + &["AB"; 32].join(":")
            + "\r\nm=video 9 UDP/TLS/RTP/SAVPF 100 101\r\na=mid:v\r\na=rtpmap:100 VP8/90000\r\na=rtpmap:101 rtx/90000\r\n\
               a=extmap:5/recvonly http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
               a=ssrc-group:FID 1 2\r\na=candidate:1 1 udp 2 10.0.0.1 5000 typ host\r\n\
               a=candidate:2 1 UDP 1 127.0.0.1 5001 typ host\r\na=candidate:3 1 tcp 1 127.0.0.1 5002 typ host\r\n\
               m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n";
        let remote = Remote::parse(&text).unwrap();
        assert_eq!(remote.ice.ufrag, "uf");
        assert_eq!(remote.payload_types(), PayloadTypes { video: 100, rtx: 101, audio: u8::MAX });
        assert_eq!((remote.transport_cc(), &remote.repairs[..]), (Some(5), &[(2, 1)][..]));
        assert_eq!(remote.address([127, 0, 0, 1].into()).unwrap().port(), 5001);
        assert_eq!(remote.address([10, 9, 9, 9].into()).unwrap().port(), 5000);
        assert_eq!(remote.media.iter().map(|media| media.accepted).collect::<Vec<_>>(), [true, false]);
        assert!(Remote::parse("v=0\r\n").is_err());
    }

    #[test]
    fn an_offer_of_the_server_is_answered_line_by_line() {
        let wishes = Wishes { send: vec![(Kind::Video, 1)], receive: Vec::new() };
        let offer = Offer::new(&wishes, ice(), Fingerprint([7; 32]));
        let answer = Remote::parse(&offer.text).unwrap().accept_all(&ice(), Fingerprint([8; 32]));
        let parsed = Remote::parse(&answer).unwrap();
        assert_eq!(parsed.payload_types(), PayloadTypes { audio: u8::MAX, ..OFFERED });
        assert!(answer.contains("a=setup:active\r\n") && answer.contains("a=recvonly\r\n"));
    }
}
