/** What `getStats()` of the browser says, summed up per track. */
import type { StreamState } from './stream-state';
import type { TrackSource } from './types';

export interface TrackStats {
  identity: string;
  trackSid: string;
  source: TrackSource;
  direction: 'send' | 'receive';
  codec: string | undefined;
  width: number | undefined;
  height: number | undefined;
  framesPerSecond: number | undefined;
  /** Decoded or encoded so far. */
  frames: number | undefined;
  /** Bits per second since the last call; undefined on the first. */
  bitrate: number | undefined;
  bytes: number;
  packets: number;
  packetsLost: number;
  /** 0 to 1 since the last call, else overall. */
  lossRate: number;
  /** Seconds. */
  jitter: number | undefined;
  /** Seconds. */
  roundTripTime: number | undefined;
  freezes: number | undefined;
  /** Total seconds of freezes. */
  freezeDuration: number | undefined;
  audioLevel: number | undefined;
  /** Sending video: `none`, `cpu`, `bandwidth` or `other`. */
  limitedBy: string | undefined;
  /** Sending simulcast: the layers that are being sent. */
  layers: { rid: string; width: number | undefined; height: number | undefined; framesPerSecond: number | undefined }[];
  /** Receiving video: what the server sends of it, and why. */
  streamState: StreamState | undefined;
}

export interface RoomStats {
  /** Unix time in milliseconds. */
  timestamp: number;
  srtpCipher: string | undefined;
  /** Of the selected path: `udp` or `tcp`. */
  protocol: string | undefined;
  /** Of the selected path, in seconds. */
  roundTripTime: number | undefined;
  availableOutgoingBitrate: number | undefined;
  tracks: TrackStats[];
}

/** What a track's statistics are read from. */
export interface StatsSource {
  identity: string;
  trackSid: string;
  source: TrackSource;
  direction: 'send' | 'receive';
  report: RTCStatsReport;
  streamState?: StreamState | undefined;
}

interface Entry {
  id: string;
  type: string;
  timestamp: number;
  [member: string]: unknown;
}

interface Sample {
  timestamp: number;
  bytes: number;
  packets: number;
  lost: number;
}

/** Keeps the last sample of each track, for rates. */
export class StatsReader {
  private readonly last = new Map<string, Sample>();

  transport(report: RTCStatsReport): Omit<RoomStats, 'tracks'> {
    const all = entries(report);
    const transport = all.find(({ type }) => type === 'transport');
    const selected = transport?.['selectedCandidatePairId'];
    const pairs = all.filter(({ type }) => type === 'candidate-pair');
    const pair = pairs.find(({ id }) => id === selected) ?? pairs.find((it) => it['selected'] === true || (it['nominated'] === true && it['state'] === 'succeeded'));
    const local = all.find(({ id }) => id === pair?.['localCandidateId']);
    return {
      timestamp: Date.now(),
      srtpCipher: text(transport?.['srtpCipher']),
      protocol: text(local?.['protocol']),
      roundTripTime: number(pair?.['currentRoundTripTime']),
      availableOutgoingBitrate: number(pair?.['availableOutgoingBitrate']),
    };
  }

  track({ identity, trackSid, source, direction, report, streamState }: StatsSource): TrackStats {
    const all = entries(report);
    const streams = all.filter(({ type }) => type === (direction === 'send' ? 'outbound-rtp' : 'inbound-rtp'));
    const remote = all.filter(({ type }) => type === 'remote-inbound-rtp');
    // Of several layers the largest that flows speaks for the track.
    const main = [...streams].sort((a, b) => (number(b['frameHeight']) ?? 0) - (number(a['frameHeight']) ?? 0))[0];
    const received = direction === 'receive';
    const bytes = sum(streams, received ? 'bytesReceived' : 'bytesSent');
    const packets = sum(streams, received ? 'packetsReceived' : 'packetsSent');
    const packetsLost = sum(received ? streams : remote, 'packetsLost');
    const rates = this.rates(`${direction}/${trackSid}`, { timestamp: main?.timestamp ?? Date.now(), bytes, packets, lost: packetsLost }, received);
    return {
      identity,
      trackSid,
      source,
      direction,
      codec: text(all.find(({ id }) => id === main?.['codecId'])?.['mimeType'])?.split('/')[1],
      width: number(main?.['frameWidth']),
      height: number(main?.['frameHeight']),
      framesPerSecond: number(main?.['framesPerSecond']),
      frames: number(main?.[received ? 'framesDecoded' : 'framesEncoded']),
      bytes,
      packets,
      packetsLost,
      ...rates,
      jitter: number((received ? main : remote[0])?.['jitter']),
      roundTripTime: number(remote[0]?.['roundTripTime']),
      freezes: number(main?.['freezeCount']),
      freezeDuration: number(main?.['totalFreezesDuration']),
      audioLevel: number((received ? main : all.find(({ type }) => type === 'media-source'))?.['audioLevel']),
      limitedBy: text(main?.['qualityLimitationReason']),
      layers: received ? [] : streams.filter((it) => it['rid'] !== undefined && number(it['framesPerSecond'])).map(layer),
      streamState,
    };
  }

  private rates(key: string, now: Sample, received: boolean): { bitrate: number | undefined; lossRate: number } {
    const before = this.last.get(key);
    this.last.set(key, now);
    const seconds = before ? (now.timestamp - before.timestamp) / 1000 : 0;
    const fresh = before && seconds > 0 && now.bytes >= before.bytes;
    const lost = Math.max(0, now.lost - (fresh ? before.lost : 0));
    const through = now.packets - (fresh ? before.packets : 0);
    // A sender counts what was lost among what it sent, a receiver beside what it got.
    const total = received ? through + lost : through;
    return {
      bitrate: fresh ? (8 * (now.bytes - before.bytes)) / seconds : undefined,
      lossRate: total > 0 ? Math.min(1, lost / total) : 0,
    };
  }
}

function layer(it: Entry): TrackStats['layers'][number] {
  return { rid: String(it['rid']), width: number(it['frameWidth']), height: number(it['frameHeight']), framesPerSecond: number(it['framesPerSecond']) };
}

function entries(report: RTCStatsReport): Entry[] {
  const all: Entry[] = [];
  report.forEach((entry: Entry) => all.push(entry));
  return all;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function sum(all: readonly Entry[], member: string): number {
  return all.reduce((total, it) => total + (number(it[member]) ?? 0), 0);
}
