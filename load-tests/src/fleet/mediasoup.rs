//! Joining mediasoup through the small server of `load-tests/mediasoup`, which hands mediasoup's own parameters on as JSON
//! over HTTP: a session that publishes, and one that subscribes to all others.
//!
//! mediasoup knows no SDP; its clients translate, and so does this: our fixed payload types and extension ids become the
//! parameters of producers, and what the router and the transport say becomes the [`Remote`] that an SDP would have been.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use sfu_core::rtp::Extension;
use sfu_core::sdp::{Fingerprint, IceCredentials};

use super::{Join, Part, Role, Signalling};
use crate::peer::{OPUS, VP8, VP8_RTX};
use crate::stamp::Kind;
use crate::synthetic::Receiving;
use crate::synthetic::sdp::{
    AUDIO_LEVEL, Encoding, MID, REPAIRED_RID, RID, Remote, RemoteMedia, SendLine, TRANSPORT_CC,
};

/// A session with the small server.
pub struct Session {
    client: Client,
    resource: Url,
}

impl Session {
    /// Leaves. A server that fails at that has still been measured.
    pub(super) async fn leave(self) {
        let _ = self.client.delete(self.resource).send().await;
    }
}

/// Joins; who does both has two sessions.
pub(super) async fn join(join: &Join<'_>, server: &Url) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    if join.role.receives {
        let (remote, session) = open(join, server, "subscribe", &[]).await?;
        let ice = Join::credentials();
        parts.push(join.start_with(&remote, ice, None, Receiving::of(&remote), Signalling::Mediasoup(session))?);
    }
    if join.role.sends {
        let offer = join.offer(Role::PUBLISHER);
        let (remote, session) = open(join, server, "publish", &offer.send).await?;
        let (sending, receiving) = (join.sending(offer.send), Receiving::of(&remote));
        parts.push(join.start_with(&remote, offer.ice, sending, receiving, Signalling::Mediasoup(session))?);
    }
    Ok(parts)
}

/// mediasoup is ICE-lite and never learns our ICE credentials: it takes any ufrag of ours.
async fn open(join: &Join<'_>, server: &Url, verb: &str, lines: &[SendLine]) -> anyhow::Result<(Remote, Session)> {
    let mut url = server.clone();
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(["rooms", &join.context.mint.room, verb]),
        Err(()) => bail!("{server} cannot be a server's URL"),
    };
    let request = json!({
        "peer": join.identity,
        "dtlsParameters": {
            "role": "client",
            "fingerprints": [{"algorithm": "sha-256", "value": join.identity().fingerprint.to_string()}],
        },
        "tracks": lines.iter().map(track).collect::<Vec<_>>(),
    });
    let client = join.fleet.http.clone();
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(request.to_string());
    let response = request.send().await.with_context(|| format!("POST {url}"))?;
    let (status, text) = (response.status(), response.text().await.with_context(|| format!("POST {url}"))?);
    if status != StatusCode::CREATED {
        bail!("POST {url}: {status}: {text}");
    }
    let joined: Joined = serde_json::from_str(&text).with_context(|| format!("POST {url}"))?;
    let resource = server.join(&format!("/sessions/{}", joined.session)).context("the session's name")?;
    Ok((joined.remote()?, Session { client, resource }))
}

/// A producer's kind and `RtpParameters`.
fn track(line: &SendLine) -> Value {
    let (kind, codecs, own_extensions) = match line.kind {
        Kind::Audio => ("audio", opus(), vec![(AUDIO_LEVEL, Extension::AudioLevel)]),
        Kind::Video => ("video", vp8(), vec![(RID, Extension::Rid), (REPAIRED_RID, Extension::RepairedRid)]),
    };
    let extensions = [(MID, Extension::Mid), (TRANSPORT_CC, Extension::TransportCc)].into_iter().chain(own_extensions);
    let extensions: Vec<Value> = extensions.map(|(id, extension)| json!({"uri": extension.uri(), "id": id})).collect();
    let rtp = json!({
        "mid": line.mid,
        "codecs": codecs,
        "headerExtensions": extensions,
        "encodings": line.encodings.iter().map(encoding).collect::<Vec<_>>(),
        "rtcp": {"cname": "load", "reducedSize": true},
    });
    json!({"kind": kind, "rtpParameters": rtp})
}

fn opus() -> Value {
    json!([{
        "mimeType": "audio/opus", "payloadType": OPUS, "clockRate": 48_000, "channels": 2,
        "parameters": {"minptime": 10, "useinbandfec": 1, "usedtx": 1},
        "rtcpFeedback": [{"type": "transport-cc"}],
    }])
}

fn vp8() -> Value {
    json!([
        {
            "mimeType": "video/VP8", "payloadType": VP8, "clockRate": 90_000,
            "rtcpFeedback": [
                {"type": "goog-remb"}, {"type": "transport-cc"}, {"type": "ccm", "parameter": "fir"}, {"type": "nack"},
                {"type": "nack", "parameter": "pli"},
            ],
        },
        {"mimeType": "video/rtx", "payloadType": VP8_RTX, "clockRate": 90_000, "parameters": {"apt": VP8}},
    ])
}

/// By its RID, which says nothing of SSRCs, or by its SSRCs.
fn encoding(encoding: &Encoding) -> Value {
    match (encoding.rid, encoding.rtx) {
        (Some(rid), _) => json!({"rid": rid}),
        (None, Some(rtx)) => json!({"ssrc": encoding.ssrc, "rtx": {"ssrc": rtx}}),
        (None, None) => json!({"ssrc": encoding.ssrc}),
    }
}

/// What the small server answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joined {
    session: String,
    ice_parameters: IceParameters,
    ice_candidates: Vec<IceCandidate>,
    dtls_parameters: DtlsParameters,
    rtp_capabilities: RtpCapabilities,
    consumers: Vec<RtpParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IceParameters {
    username_fragment: String,
    password: String,
}

#[derive(Deserialize)]
struct IceCandidate {
    ip: IpAddr,
    port: u16,
    protocol: String,
}

#[derive(Deserialize)]
struct DtlsParameters {
    fingerprints: Vec<CertificateHash>,
}

#[derive(Deserialize)]
struct CertificateHash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RtpCapabilities {
    codecs: Vec<Codec>,
    header_extensions: Vec<HeaderExtension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Codec {
    mime_type: String,
    preferred_payload_type: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeaderExtension {
    uri: String,
    preferred_id: u8,
}

#[derive(Deserialize)]
struct RtpParameters {
    encodings: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    ssrc: u32,
    rtx: Option<Repair>,
}

#[derive(Deserialize)]
struct Repair {
    ssrc: u32,
}

impl Joined {
    /// One m-line holds the router's codecs and extensions, which are the same for all that it sends.
    fn remote(self) -> anyhow::Result<Remote> {
        let sha256 = self.dtls_parameters.fingerprints.iter().find(|hash| hash.algorithm == "sha-256");
        let fingerprint = sha256.and_then(|hash| hash.value.parse::<Fingerprint>().ok());
        let udp = self.ice_candidates.iter().filter(|candidate| candidate.protocol == "udp");
        let sources = self.consumers.iter().flat_map(|consumer| &consumer.encodings);
        let RtpCapabilities { codecs, header_extensions } = self.rtp_capabilities;
        let codec = |codec: Codec| {
            let name = codec.mime_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            (codec.preferred_payload_type, name)
        };
        Ok(Remote {
            ice: IceCredentials {
                ufrag: self.ice_parameters.username_fragment,
                password: self.ice_parameters.password,
            },
            fingerprint: fingerprint.context("the transport has no SHA-256 fingerprint")?,
            starts_dtls: false,
            candidates: udp.map(|candidate| SocketAddr::new(candidate.ip, candidate.port)).collect(),
            repairs: sources.filter_map(|source| Some((source.rtx.as_ref()?.ssrc, source.ssrc))).collect(),
            media: vec![RemoteMedia {
                accepted: true,
                codecs: codecs.into_iter().map(codec).collect(),
                extensions: header_extensions.into_iter().map(|it| (it.preferred_id, it.uri)).collect(),
                ..RemoteMedia::default()
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::sdp::{PayloadTypes, RIDS};

    fn line(kind: Kind, encodings: Vec<Encoding>) -> Value {
        track(&SendLine { kind, mid: "7".to_owned(), encodings })
    }

    #[test]
    fn lines_become_producers() {
        let camera = line(Kind::Video, vec![Encoding { ssrc: 5, rtx: Some(6), rid: None }]);
        assert_eq!((&camera["kind"], &camera["rtpParameters"]["mid"]), (&json!("video"), &json!("7")));
        assert_eq!(camera["rtpParameters"]["encodings"], json!([{"ssrc": 5, "rtx": {"ssrc": 6}}]));
        let codecs = &camera["rtpParameters"]["codecs"];
        assert_eq!(codecs[1]["parameters"]["apt"], codecs[0]["payloadType"]);
        let extension = json!({"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": MID});
        assert_eq!(camera["rtpParameters"]["headerExtensions"][0], extension);

        let layers = RIDS.map(|rid| Encoding { ssrc: 5, rtx: Some(6), rid: Some(rid) });
        let simulcast = line(Kind::Video, layers.to_vec());
        assert_eq!(simulcast["rtpParameters"]["encodings"], json!([{"rid": "q"}, {"rid": "h"}, {"rid": "f"}]));

        let microphone = line(Kind::Audio, vec![Encoding { ssrc: 9, rtx: None, rid: None }]);
        assert_eq!(microphone["rtpParameters"]["encodings"], json!([{"ssrc": 9}]));
        assert_eq!(microphone["rtpParameters"]["codecs"][0]["payloadType"], OPUS);
    }

    /// As mediasoup 3.8.4 has it, without what nobody reads.
    fn joined(algorithm: &str) -> Joined {
        let digest = ["AB"; 32].join(":");
        let reply = json!({
            "session": "s",
            "iceParameters": {"usernameFragment": "uf", "password": "pw", "iceLite": true},
            "iceCandidates": [
                {"ip": "127.0.0.1", "port": 4000, "protocol": "tcp", "tcpType": "passive"},
                {"ip": "127.0.0.1", "port": 4001, "protocol": "udp", "type": "host"},
            ],
            "dtlsParameters": {"role": "auto", "fingerprints": [{"algorithm": algorithm, "value": digest}]},
            "rtpCapabilities": {
                "codecs": [
                    {"mimeType": "audio/opus", "preferredPayloadType": 100},
                    {"mimeType": "video/VP8", "preferredPayloadType": 101},
                    {"mimeType": "video/rtx", "preferredPayloadType": 102, "parameters": {"apt": 101}},
                ],
                "headerExtensions": [{"kind": "video", "uri": Extension::TransportCc.uri(), "preferredId": 5}],
            },
            "consumers": [
                {"mid": "0", "encodings": [{"ssrc": 1, "rtx": {"ssrc": 2}}]}, {"mid": "1", "encodings": [{"ssrc": 3}]},
            ],
        });
        serde_json::from_value(reply).unwrap()
    }

    #[test]
    fn a_reply_says_what_an_sdp_would() {
        let remote = joined("sha-256").remote().unwrap();
        assert_eq!((remote.ice.ufrag.as_str(), remote.ice.password.as_str()), ("uf", "pw"));
        assert_eq!((remote.fingerprint, remote.starts_dtls), (Fingerprint([0xab; 32]), false));
        assert_eq!(remote.candidates, [SocketAddr::from(([127, 0, 0, 1], 4001))]);
        assert_eq!(remote.payload_types(), PayloadTypes { video: 101, rtx: 102, audio: 100 });
        assert_eq!((remote.transport_cc(), &remote.repairs[..]), (Some(5), &[(2, 1)][..]));
        assert!(joined("sha-512").remote().is_err());
    }
}
