import { describe, expect, it } from 'vitest';
import { EnvelopeKind, MAX_MESSAGE, decodeEnvelope, encodeEnvelope } from './envelope';
import type { Envelope } from './envelope';
import { random } from './testing/random';

const hex = (next: (below: number) => number): string => `PA_${Array.from({ length: 24 }, () => next(16).toString(16)).join('')}`;
const bytes = (next: (below: number) => number, length: number): Uint8Array => Uint8Array.from({ length }, () => next(256));

describe('envelope', () => {
  it('has the layout that the server reads', () => {
    const encoded = encodeEnvelope({
      kind: EnvelopeKind.StreamChunk,
      topic: 'é',
      destinations: ['PA_000102030405060708090a0b'],
      streamId: 0x01020304,
      chunkIndex: 5,
      payload: Uint8Array.of(0xff),
    });
    const expected = '01030000' + '00'.repeat(12) + '02c3a9' + '01000102030405060708090a0b' + '01020304' + '00000005' + 'ff';
    expect(Array.from(encoded, (byte) => byte.toString(16).padStart(2, '0')).join('')).toBe(expected);
  });

  it('survives a round trip', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const next = random(seed);
      const envelope: Envelope = {
        kind: next(7) as EnvelopeKind,
        sender: next(2) ? `PA_1${hex(next).slice(4)}` : undefined,
        topic: 'tøpic'.repeat(next(30)),
        destinations: Array.from({ length: next(5) }, () => hex(next)),
        streamId: next(2 ** 32),
        chunkIndex: next(2 ** 32),
        payload: bytes(next, next(100)),
      };
      expect(decodeEnvelope(encodeEnvelope(envelope)), `seed ${seed}`).toEqual(envelope);
    }
  });

  it('never throws on what is no envelope', () => {
    for (let seed = 1; seed <= 2000; seed++) {
      const next = random(seed);
      const data = bytes(next, next(80));
      if (next(2)) data[0] = 1;
      expect(() => decodeEnvelope(data), `seed ${seed}`).not.toThrow();
    }
    const whole = encodeEnvelope({ kind: 0, topic: 'abc', destinations: [hex(random(1))], streamId: 1, chunkIndex: 2, payload: new Uint8Array() });
    for (let length = 0; length < whole.length; length++) expect(decodeEnvelope(whole.subarray(0, length))).toBeUndefined();
  });

  it('refuses what does not fit', () => {
    const base = { kind: EnvelopeKind.Packet, topic: '', destinations: [], streamId: 0, chunkIndex: 0, payload: new Uint8Array() };
    expect(() => encodeEnvelope({ ...base, payload: new Uint8Array(MAX_MESSAGE) })).toThrowError(expect.objectContaining({ failure: 'tooLarge' }));
    expect(() => encodeEnvelope({ ...base, topic: 'x'.repeat(256) })).toThrowError(expect.objectContaining({ failure: 'tooLarge' }));
    expect(() => encodeEnvelope({ ...base, destinations: ['bob'] })).toThrowError(expect.objectContaining({ failure: 'malformed' }));
  });
});
