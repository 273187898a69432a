import { describe, expect, it } from 'vitest';
import { constraintsFor } from './devices';
import { ConnectionError, MadangError, MediaDeviceError } from './errors';
import { hasSimulcast, withOpus } from './negotiation';
import { signalUrl } from './protocol';
import { DefaultReconnectPolicy } from './reconnect-policy';
import { StatsReader } from './stats';
import type { TrackStats } from './stats';

describe('DefaultReconnectPolicy', () => {
  it('waits 0, 0.3, 1, then 2 s for a minute, then 7 s, and gives up after its time', () => {
    const policy = new DefaultReconnectPolicy(120_000, () => 0);
    const delays = [0, 1, 2, 3, 4, 5, 6].map((attempt) => policy.nextDelay({ attempt, elapsed: 0 }));
    expect(delays).toEqual([0, 300, 1000, 2000, 2000, 2000, 2000]);
    expect(policy.nextDelay({ attempt: 20, elapsed: 60_000 })).toBe(7000);
    expect(policy.nextDelay({ attempt: 1, elapsed: 120_000 })).toBeNull();
  });

  it('spreads later attempts', () => {
    const policy = new DefaultReconnectPolicy(undefined, () => 0.5);
    expect(policy.nextDelay({ attempt: 0, elapsed: 0 })).toBe(0);
    expect(policy.nextDelay({ attempt: 5, elapsed: 0 })).toBe(2500);
  });
});

describe('errors', () => {
  it('name the failure and the device', () => {
    const error = MediaDeviceError.from(Object.assign(new Error(''), { name: 'NotAllowedError' }), 'videoinput');
    expect(error).toMatchObject({ name: 'MediaDeviceError', failure: 'permissionDenied', kind: 'videoinput', code: 'device_permissionDenied' });
    expect(MediaDeviceError.from(error, 'audioinput')).toBe(error);
    expect(MediaDeviceError.from('?', 'screen').failure).toBe('other');
    expect(error).toBeInstanceOf(MadangError);
  });

  it('say what may be tried again', () => {
    expect(new ConnectionError('timeout', '').retryable).toBe(true);
    expect(new ConnectionError('notAllowed', '').retryable).toBe(false);
  });
});

describe('withOpus', () => {
  const answer = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:1', 'a=rtpmap:111 opus/48000/2', ''].join('\r\n');

  it('changes one m-line', () => {
    const lines = withOpus(answer, '0', { dtx: true, stereo: true, maxBitrate: 64_000 }).split('\r\n');
    expect(lines[4]).toBe('a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=1;maxaveragebitrate=64000');
    expect(lines).toHaveLength(answer.split('\r\n').length);
  });

  it('adds parameters where there are none', () => {
    expect(withOpus(answer, '1', { dtx: false, fec: false })).toContain('a=rtpmap:111 opus/48000/2\r\na=fmtp:111 usedtx=0;useinbandfec=0\r\n');
  });

  it('leaves what it does not know', () => {
    expect(withOpus(answer, '7', {})).toBe(answer);
    expect(withOpus('', '0', {})).toBe('');
    expect(withOpus(answer, null, {})).toBe(answer);
  });
});

it('hasSimulcast looks at its own m-line', () => {
  const answer = ['v=0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', 'a=simulcast:recv q;h;f', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:2', ''].join('\r\n');
  expect([hasSimulcast(answer, '1'), hasSimulcast(answer, '2'), hasSimulcast(answer, '3')]).toEqual([true, false, false]);
});

it('signalUrl keeps paths and speaks WebSocket', () => {
  expect(signalUrl('http://localhost:7880', { access_token: 'a b' })).toBe('ws://localhost:7880/v1/rtc?access_token=a+b');
  expect(signalUrl('https://x.test/sfu/', { session: 'SE_1' })).toBe('wss://x.test/sfu/v1/rtc?session=SE_1');
});

it('capture asks for processing of speech, and for a remembered device exactly', () => {
  expect(constraintsFor('audioinput', { deviceId: 'x', noiseSuppression: false })).toEqual({
    echoCancellation: true,
    noiseSuppression: false,
    autoGainControl: true,
    deviceId: { exact: 'x' },
  });
  expect(constraintsFor('videoinput', { resolution: { width: 640, height: 360 } })).toEqual({ width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 } });
});

describe('statistics', () => {
  const report = (entries: object[]): RTCStatsReport => new Map(entries.map((it) => [(it as { id: string }).id, it])) as unknown as RTCStatsReport;
  const inbound = (timestamp: number, bytesReceived: number, packetsReceived: number, packetsLost: number): RTCStatsReport =>
    report([
      { id: 'i', type: 'inbound-rtp', timestamp, codecId: 'c', bytesReceived, packetsReceived, packetsLost, framesDecoded: 9, frameWidth: 640, frameHeight: 360, jitter: 0.01 },
      { id: 'c', type: 'codec', timestamp, mimeType: 'video/VP8' },
    ]);
  const read = (reader: StatsReader, stats: RTCStatsReport): TrackStats =>
    reader.track({ identity: 'ann', trackSid: 'TR_1', source: 'camera', direction: 'receive', report: stats });

  it('give rates between two calls', () => {
    const reader = new StatsReader();
    expect(read(reader, inbound(1000, 1000, 10, 0))).toMatchObject({ bitrate: undefined, codec: 'VP8', width: 640, frames: 9 });
    expect(read(reader, inbound(2000, 11_000, 19, 1))).toMatchObject({ bitrate: 80_000, lossRate: 0.1 });
  });

  it('read the selected path', () => {
    const all = report([
      { id: 't', type: 'transport', timestamp: 1, srtpCipher: 'SRTP_AEAD_AES_256_GCM', selectedCandidatePairId: 'p' },
      { id: 'p', type: 'candidate-pair', timestamp: 1, currentRoundTripTime: 0.02, localCandidateId: 'l' },
      { id: 'l', type: 'local-candidate', timestamp: 1, protocol: 'tcp' },
    ]);
    expect(new StatsReader().transport(all)).toMatchObject({ srtpCipher: 'SRTP_AEAD_AES_256_GCM', protocol: 'tcp', roundTripTime: 0.02 });
  });
});
