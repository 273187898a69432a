/** What adaptation is judged by: what is sent per encoding, what is received per participant, and how large it is shown. */

import type { Room } from '@madang/client';

import { connections, rawStats } from './connections';

const SENT = ['rid', 'active', 'framesEncoded', 'frameWidth', 'frameHeight', 'framesPerSecond', 'bytesSent', 'targetBitrate', 'qualityLimitationReason', 'scalabilityMode', 'encoderImplementation', 'keyFramesEncoded', 'pliCount'] as const;
const RECEIVED = ['framesDecoded', 'framesDropped', 'frameWidth', 'frameHeight', 'framesPerSecond', 'bytesReceived', 'packetsReceived', 'packetsLost', 'freezeCount', 'totalFreezesDuration', 'keyFramesDecoded', 'pliCount', 'nackCount', 'retransmittedPacketsReceived'] as const;

/** The members that there are. */
function pick(stat: Record<string, unknown>, members: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(members.filter((member) => member in stat).map((member) => [member, stat[member]]));
}

/** The encodings of our camera by RID, from the smallest; what was never sent has no size. */
export async function sentVideo(): Promise<Record<string, unknown>[]> {
  const all = await rawStats();
  const codecs = new Map(all.map((stat) => [stat.id, stat['mimeType']]));
  return all
    .filter((stat) => stat.type === 'outbound-rtp' && stat['kind'] === 'video' && Number(stat['bytesSent']) > 0)
    .map((stat): Record<string, unknown> => ({ ...pick(stat, SENT), codec: codecs.get(String(stat['codecId'])) }))
    .sort((a, b) => Number(a['frameWidth'] ?? 0) - Number(b['frameWidth'] ?? 0));
}

/** Our microphone: the codec that it is sent with, and what was sent; null: nothing. */
export async function sentAudio(): Promise<Record<string, unknown> | null> {
  const sender = connections.at(-1)?.getSenders().find((one) => one.track?.kind === 'audio');
  const stat = (await rawStats()).find((one) => one.type === 'outbound-rtp' && one['kind'] === 'audio' && Number(one['packetsSent']) > 0);
  return sender && stat ? { ...pick(stat, ['packetsSent', 'bytesSent']), codec: sender.getParameters().codecs[0]?.mimeType } : null;
}

/** What is received of somebody's camera; null: no slot has it. */
export async function receivedVideo(room: Room, identity: string): Promise<Record<string, unknown> | null> {
  const id = room.remoteParticipants.get(identity)?.getTrackPublication('camera')?.track?.mediaStreamTrack.id;
  const all = await rawStats();
  const codecs = new Map(all.map((stat) => [stat.id, stat['mimeType']]));
  const stat = all.find((one) => one.type === 'inbound-rtp' && id !== undefined && one['trackIdentifier'] === id);
  return stat ? { at: performance.now(), ...pick(stat, RECEIVED), codec: codecs.get(String(stat['codecId'])) } : null;
}

/** Styles the elements that show somebody's camera, e.g. `{ width: '1280px' }`, `{ display: 'none' }`; an empty value takes back. */
export function styleVideo(identity: string, style: Record<string, string>): number {
  const elements = document.querySelectorAll<HTMLElement>(`video[data-identity="${CSS.escape(identity)}"]`);
  for (const element of elements) Object.assign(element.style, style);
  return elements.length;
}
