//! Media from files in place of filler: VP8 in IVF and Opus in Ogg (RFC 7845), read whole and played in a circle.
//!
//! A file makes sizes of frames, their bytes and the distances of keyframes those of a real encoder. It is no encoder: a keyframe that
//! is asked for is the file's next one, which is jumped to.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes};

const IVF_HEADER: usize = 32;
const IVF_FRAME_HEADER: usize = 12;
/// Samples of an Opus packet of 20 ms.
const AUDIO_SAMPLES: u32 = 960;

/// A frame of a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipFrame {
    /// No frame before it is needed.
    pub keyframe: bool,
    /// VP8, without RTP's payload descriptor.
    pub bytes: Bytes,
}

/// A camera's clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoClip {
    /// Frames per second, on average.
    pub fps: u32,
    /// Width and height, in pixels.
    pub size: (u16, u16),
    /// At least one; the first is a keyframe.
    pub frames: Vec<ClipFrame>,
}

impl VideoClip {
    /// Reads an IVF file of VP8.
    pub fn read(path: &Path) -> anyhow::Result<Arc<Self>> {
        read(path, Self::parse)
    }

    fn parse(mut file: Bytes) -> anyhow::Result<Self> {
        ensure!(file.len() >= IVF_HEADER && file.starts_with(b"DKIF"), "no IVF file");
        let mut header = file.split_to(IVF_HEADER);
        ensure!(header[8..12] == *b"VP80", "{:?} instead of VP8", String::from_utf8_lossy(&header[8..12]));
        header.advance(12);
        let size = (header.get_u16_le(), header.get_u16_le());
        let (rate, scale) = (f64::from(header.get_u32_le()), f64::from(header.get_u32_le()));
        let (mut frames, mut times) = (Vec::new(), Vec::new());
        while file.len() >= IVF_FRAME_HEADER {
            let len = file.get_u32_le() as usize;
            times.push(file.get_u64_le());
            ensure!(file.len() >= len, "the file ends within frame {}", frames.len());
            let bytes = file.split_to(len);
            // RFC 6386 section 9.1. A frame of no bytes is one that the encoder dropped.
            frames.extend(bytes.first().map(|tag| ClipFrame { keyframe: tag & 1 == 0, bytes: bytes.clone() }));
        }
        ensure!(frames.first().is_some_and(|frame| frame.keyframe), "no keyframe at the start");
        let ticks = times.last().unwrap_or(&0).saturating_sub(times[0]) as f64;
        let fps = (times.len() - 1) as f64 / ticks * rate / scale;
        ensure!(times.len() == 1 || (1.0..=120.5).contains(&fps), "{fps} frames per second");
        Ok(Self { fps: if times.len() == 1 { 1 } else { fps.round() as u32 }, size, frames })
    }
}

/// A microphone's clip: packets of 20 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioClip {
    /// At least one.
    pub packets: Vec<Bytes>,
}

impl AudioClip {
    /// Reads an Ogg file of Opus.
    pub fn read(path: &Path) -> anyhow::Result<Arc<Self>> {
        read(path, Self::parse)
    }

    fn parse(file: Bytes) -> anyhow::Result<Self> {
        let mut reader = ogg::PacketReader::new(std::io::Cursor::new(file));
        let head = reader.read_packet()?.context("no packets")?;
        ensure!(head.data.starts_with(b"OpusHead"), "no Opus");
        reader.read_packet()?.context("no OpusTags")?;
        let mut packets = Vec::new();
        while let Some(packet) = reader.read_packet()? {
            let samples = samples(&packet.data);
            if samples != Some(AUDIO_SAMPLES) {
                bail!("packet {} is not of 20 ms: encode it anew, as with `opusenc --framesize 20`", packets.len());
            }
            packets.push(packet.data.into());
        }
        ensure!(!packets.is_empty(), "no audio");
        Ok(Self { packets })
    }
}

fn read<T>(path: &Path, parse: impl FnOnce(Bytes) -> anyhow::Result<T>) -> anyhow::Result<Arc<T>> {
    let file = std::fs::read(path).map_err(anyhow::Error::from);
    file.and_then(|file| parse(file.into())).map(Arc::new).with_context(|| path.display().to_string())
}

/// How many samples of 48 kHz a packet holds (RFC 6716 section 3.1).
fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = usize::from(toc >> 3);
    let frame = match config {
        0..12 => [480, 960, 1_920, 2_880][config % 4],
        12..16 => [480, 960][config % 2],
        _ => [120, 240, 480, 960][config % 4],
    };
    let frames = match toc & 3 {
        0 => 1,
        3 => u32::from(packet.get(1)? & 0x3f),
        _ => 2,
    };
    Some(frame * frames)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An IVF file of frames of these lengths at 25 per second; the first and each after a zero are keyframes.
    fn ivf(lengths: &[u32]) -> Vec<u8> {
        let mut file = b"DKIF\0\0\x20\0VP80\x80\x02\x68\x01".to_vec();
        for field in [1_000_u32, 1, 0, 0] {
            file.extend(field.to_le_bytes());
        }
        for (index, len) in lengths.iter().enumerate() {
            file.extend(len.to_le_bytes());
            file.extend((index as u64 * 40).to_le_bytes());
            let is_key = index == 0 || lengths[index - 1] == 0;
            file.extend((0..*len).map(|_| u8::from(!is_key)));
        }
        file
    }

    pub(crate) fn video(lengths: &[u32]) -> Arc<VideoClip> {
        Arc::new(VideoClip::parse(ivf(lengths).into()).unwrap())
    }

    fn ogg(packets: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = ogg::PacketWriter::new(&mut file);
        let all: Vec<&[u8]> = [&b"OpusHead"[..], b"OpusTags"].into_iter().chain(packets.iter().copied()).collect();
        for (index, packet) in all.iter().enumerate() {
            let end = match index {
                0 | 1 => ogg::PacketWriteEndInfo::EndPage,
                _ if index + 1 == all.len() => ogg::PacketWriteEndInfo::EndStream,
                _ => ogg::PacketWriteEndInfo::NormalPacket,
            };
            writer.write_packet(packet.to_vec(), 1, end, 0).unwrap();
        }
        file
    }

    #[test]
    fn an_ivf_file_is_its_frames() {
        let clip = video(&[900, 100, 0, 800, 120]);
        let frames: Vec<_> = clip.frames.iter().map(|frame| (frame.keyframe, frame.bytes.len())).collect();
        assert_eq!(frames, [(true, 900), (false, 100), (true, 800), (false, 120)]);
        assert_eq!((clip.fps, clip.size), (25, (640, 360)));
    }

    #[test]
    fn an_ogg_file_is_its_packets() {
        let clip = AudioClip::parse(ogg(&[&[0xf8, 1, 2], &[0x08, 3]]).into()).unwrap();
        assert_eq!(clip.packets, [&[0xf8, 1, 2][..], &[0x08, 3]]);
        assert!(AudioClip::parse(ogg(&[&[0xf8], &[0xf0]]).into()).is_err(), "10 ms");
        assert!(AudioClip::parse(ogg(&[]).into()).is_err() && AudioClip::parse(Bytes::from_static(b"RIFF")).is_err());
    }

    #[test]
    fn opus_packets_say_how_long_they_are() {
        let packets: [(&[u8], u32); 6] =
            [(&[0x00], 480), (&[0x18], 2_880), (&[0x68], 960), (&[0x80], 120), (&[0xf9], 1_920), (&[0xf3, 2], 960)];
        packets.iter().for_each(|(packet, expected)| assert_eq!(samples(packet), Some(*expected), "{packet:x?}"));
        assert_eq!((samples(&[]), samples(&[0x03])), (None, None));
    }

    #[test]
    fn cut_and_foreign_files_are_refused() {
        let whole = ivf(&[900, 100]);
        for (file, why) in
            [(&whole[..whole.len() - 1], "ends within"), (&whole[..20], "no IVF"), (&whole[..32], "no keyframe")]
        {
            let error = VideoClip::parse(Bytes::copy_from_slice(file)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let mut other = whole;
        other[8..12].copy_from_slice(b"AV01");
        assert!(VideoClip::parse(other.into()).is_err());
    }
}
