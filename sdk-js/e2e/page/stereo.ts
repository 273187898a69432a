/** Sound in two channels that differ, and which tone is heard in each. */

import type { Room } from '@madang/client';

let context: AudioContext | undefined;
const ears = new Map<string, AnalyserNode[]>();

function audio(): AudioContext {
  context ??= new AudioContext();
  void context.resume();
  return context;
}

/** One tone on the left, another on the right. */
export function twoTones(left: number, right: number): MediaStreamTrack {
  const made = audio();
  const merger = new ChannelMergerNode(made, { numberOfInputs: 2 });
  const out = new MediaStreamAudioDestinationNode(made, { channelCount: 2 });
  [left, right].forEach((frequency, channel) => {
    const oscillator = new OscillatorNode(made, { frequency });
    oscillator.connect(new GainNode(made, { gain: 0.3 })).connect(merger, 0, channel);
    oscillator.start();
  });
  merger.connect(out);
  const track = out.stream.getAudioTracks()[0];
  if (!track) throw new Error('the graph gives no track');
  return track;
}

/** What an offer says of Opus on each m-line that receives. */
export function receivingOpus(offer: string): string[] {
  const sections = offer.split(/^(?=m=)/m).filter((section) => section.startsWith('m=audio') && /^a=recvonly/m.test(section));
  return sections.map((section) => {
    const payloadType = /^a=rtpmap:(\d+) opus/m.exec(section)?.[1];
    return new RegExp(`^a=fmtp:${payloadType} (.*)$`, 'm').exec(section)?.[1]?.trim() ?? '';
  });
}

/** The loudest frequency of each channel of somebody's sound, in Hz; 0: silence. */
export function tonesOf(room: Room, identity: string): number[] {
  const track = room.remoteParticipants.get(identity)?.getTrackPublication('microphone')?.track?.mediaStreamTrack;
  if (!track) return [];
  if (!ears.has(track.id)) ears.set(track.id, listenTo(track));
  return (ears.get(track.id) ?? []).map((ear) => {
    const levels = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(levels);
    const loudest = levels.indexOf(Math.max(...levels));
    return (levels[loudest] ?? -Infinity) > -60 ? Math.round((loudest * audio().sampleRate) / ear.fftSize) : 0;
  });
}

function listenTo(track: MediaStreamTrack): AnalyserNode[] {
  const splitter = new ChannelSplitterNode(audio(), { numberOfOutputs: 2 });
  new MediaStreamAudioSourceNode(audio(), { mediaStream: new MediaStream([track]) }).connect(splitter);
  return [0, 1].map((channel) => {
    const ear = new AnalyserNode(audio(), { fftSize: 8192 });
    splitter.connect(ear, channel);
    return ear;
  });
}
