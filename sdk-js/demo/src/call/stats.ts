/** What the browser measures, as a table for people and as JSON to keep. */

import type { RemoteTrackPublication, Room } from '@madang/client';

import { announce, h } from '../ui/dom';
import { openDialog } from '../ui/dialog';
import { saveBlob } from './recorder';

const EVERY_MS = 1000;

/** One line of the table. */
export interface StreamStats {
  who: string;
  what: string;
  codec: string;
  layer: string;
  size: string;
  framesPerSecond: number | undefined;
  kilobitsPerSecond: number | undefined;
  lossPercent: number | undefined;
  jitterMs: number | undefined;
  limited: string;
}

/** The state of the transport. */
export interface TransportStats {
  roundTripMs: number | undefined;
  srtpCipher: string;
  dtlsCipher: string;
  protocol: string;
}

/** A statistics object. Members differ by type and browser, so they are read by name. */
interface Stat {
  id: string;
  type: string;
  timestamp: number;
  [member: string]: any;
}

/** Whose a received stream is. */
interface Owner {
  who: string;
  publication?: RemoteTrackPublication;
}

/** Reads a peer connection's statistics; keeps the last ones, as rates are differences. */
export class StatsReader {
  private last = new Map<string, Stat>();

  constructor(
    private readonly room: Room,
    private readonly connection: () => RTCPeerConnection | undefined,
  ) {}

  /** Everything now; undefined before there is a connection. */
  async read(): Promise<{ transport: TransportStats; streams: StreamStats[]; raw: unknown[] } | undefined> {
    const report = await this.connection()?.getStats();
    if (!report) return undefined;
    const stats = new Map<string, Stat>();
    report.forEach((stat: Stat) => stats.set(stat.id, stat));
    const owners = this.owners();
    const streams: StreamStats[] = [];
    for (const stat of stats.values()) {
      if (stat.type === 'inbound-rtp' && (stat['packetsReceived'] ?? 0) > 0) streams.push(this.inbound(stat, stats, owners));
      if (stat.type === 'outbound-rtp' && (stat['packetsSent'] ?? 0) > 0) streams.push(this.outbound(stat, stats));
    }
    const raw = [...stats.values()];
    this.last = stats;
    return { transport: transportOf(stats), streams, raw };
  }

  private inbound(stat: Stat, stats: Map<string, Stat>, owners: Map<string, Owner>): StreamStats {
    const { who, publication } = owners.get(stat['trackIdentifier'] ?? '') ?? { who: 'an empty slot' };
    const stream = publication?.streamState;
    const freezes = (stat['freezeCount'] ?? 0) > 0 ? `${stat['freezeCount']} freezes` : '';
    const before = this.last.get(stat.id);
    const received = difference(stat, before, 'packetsReceived');
    const lost = Math.max(0, difference(stat, before, 'packetsLost'));
    return {
      ...this.common(stat, stats, 'bytesReceived'),
      who,
      what: stat['kind'] ?? '',
      layer: stream?.layer ? [stream.layer.rid, `S${stream.layer.spatial}T${stream.layer.temporal}`].filter(Boolean).join(' ') : '',
      lossPercent: received + lost > 0 ? (100 * lost) / (received + lost) : undefined,
      jitterMs: stat['jitter'] === undefined ? undefined : stat['jitter'] * 1000,
      limited: [stream?.describe(), freezes].filter(Boolean).join(', '),
    };
  }

  private outbound(stat: Stat, stats: Map<string, Stat>): StreamStats {
    const remote = stats.get(stat['remoteId'] ?? '');
    const reason: string | undefined = stat['qualityLimitationReason'];
    return {
      ...this.common(stat, stats, 'bytesSent'),
      who: 'You send',
      what: stat['kind'] ?? '',
      layer: [stat['rid'], stat['scalabilityMode']].filter(Boolean).join(' '),
      lossPercent: remote?.['fractionLost'] === undefined ? undefined : remote['fractionLost'] * 100,
      jitterMs: remote?.['jitter'] === undefined ? undefined : remote['jitter'] * 1000,
      limited: reason && reason !== 'none' ? reason : '',
    };
  }

  private common(stat: Stat, stats: Map<string, Stat>, counter: string): Pick<StreamStats, 'codec' | 'size' | 'framesPerSecond' | 'kilobitsPerSecond'> {
    const before = this.last.get(stat.id);
    const seconds = before ? (stat.timestamp - before.timestamp) / 1000 : 0;
    const mime: string = stats.get(stat['codecId'] ?? '')?.['mimeType'] ?? '';
    return {
      codec: mime.split('/')[1] ?? '',
      size: stat['frameWidth'] ? `${stat['frameWidth']}×${stat['frameHeight']}` : '',
      framesPerSecond: stat['framesPerSecond'],
      kilobitsPerSecond: seconds > 0 ? (difference(stat, before, counter) * 8) / 1000 / seconds : undefined,
    };
  }

  private owners(): Map<string, Owner> {
    const owners = new Map<string, Owner>();
    for (const participant of this.room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        if (publication.track) owners.set(publication.track.mediaStreamTrack.id, { who: participant.name || participant.identity, publication });
      }
    }
    return owners;
  }
}

/** Opens the table; it renews itself until closed. */
export async function showStats(reader: StatsReader, roomName: string): Promise<void> {
  const transport = h('p', {});
  const rows = h('tbody', {});
  const heads = ['Who', 'What', 'Codec', 'Layer', 'Size', 'fps', 'kbit/s', 'Loss %', 'Jitter ms', 'Limited by'];
  const head = h('tr', {}, ...heads.map((text) => h('th', { scope: 'col' }, text)));
  const table = h('div', { class: 'stats-scroll', tabindex: 0, role: 'region', 'aria-label': 'Streams' }, h('table', { class: 'stats-table' }, h('thead', {}, head), rows));
  const history: unknown[] = [];
  const save = h('button', { class: 'button', type: 'button' }, 'Export as JSON');
  save.addEventListener('click', () => {
    saveBlob(new Blob([JSON.stringify(history, null, 1)], { type: 'application/json' }), `madang-${roomName}-stats.json`);
    announce('Statistics exported');
  });
  const refresh = async (): Promise<void> => {
    const now = await reader.read();
    if (!now) return;
    history.push({ at: new Date().toISOString(), transport: now.transport, streams: now.streams, raw: history.length % 10 === 0 ? now.raw : undefined });
    if (history.length > 600) history.shift();
    const { roundTripMs, srtpCipher, dtlsCipher, protocol } = now.transport;
    transport.textContent = `Round trip ${number(roundTripMs)} ms · ${protocol} · SRTP ${srtpCipher} · DTLS ${dtlsCipher}`;
    rows.replaceChildren(...now.streams.map(row));
  };
  await refresh();
  const timer = setInterval(() => void refresh(), EVERY_MS);
  await openDialog('Statistics', h('div', { class: 'dialog-body' }, transport, table, h('div', { class: 'row' }, save)), { wide: true }).closed;
  clearInterval(timer);
}

function row(stream: StreamStats): HTMLElement {
  const { who, what, codec, layer, size, framesPerSecond, kilobitsPerSecond, lossPercent, jitterMs, limited } = stream;
  const cells = [what, codec, layer, size, number(framesPerSecond), number(kilobitsPerSecond), number(lossPercent, 1), number(jitterMs), limited];
  return h('tr', {}, h('th', { scope: 'row' }, who), ...cells.map((text) => h('td', {}, text || '–')));
}

function transportOf(stats: Map<string, Stat>): TransportStats {
  const transport = [...stats.values()].find((stat) => stat.type === 'transport');
  const pairs = [...stats.values()].filter((stat) => stat.type === 'candidate-pair');
  // Firefox has no transport statistics in older versions, but marks the pair.
  const pair = stats.get(transport?.['selectedCandidatePairId'] ?? '') ?? pairs.find((one) => one['selected'] || one['nominated']);
  const local = stats.get(pair?.['localCandidateId'] ?? '');
  const trip = pair?.['currentRoundTripTime'];
  return {
    roundTripMs: trip === undefined ? undefined : trip * 1000,
    srtpCipher: transport?.['srtpCipher'] ?? 'unknown',
    dtlsCipher: transport?.['dtlsCipher'] ?? 'unknown',
    protocol: (local?.['protocol'] ?? 'unknown').toString().toUpperCase(),
  };
}

function difference(now: Stat, before: Stat | undefined, key: string): number {
  return (now[key] ?? 0) - (before?.[key] ?? 0);
}

function number(value: number | undefined, digits = 0): string {
  return value === undefined ? '–' : value.toFixed(digits);
}
