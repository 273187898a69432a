import { beforeEach, describe, expect, it, vi } from 'vitest';
import { DataChannels } from './data-channels';
import { DataStreams, sendStream, sendText } from './data-streams';
import { EnvelopeKind, MAX_CHUNK, decodeEnvelope, encodeEnvelope } from './envelope';
import { RpcError } from './errors';
import { setLogSink } from './log';
import { Rpc } from './rpc';
import type { ByteStreamReader, TextStreamReader } from './stream-reader';
import { FakeChannel } from './testing/fake-peer';

const ANN = `PA_${'a'.repeat(24)}`;
const BOB = `PA_${'b'.repeat(24)}`;

/** Two ends; what one sends arrives at the other with the sender's id, as from a server. */
class End {
  readonly reliable = new FakeChannel('reliable');
  readonly lossy = new FakeChannel('lossy');
  readonly streams = new DataStreams();
  readonly rpc = new Rpc();
  readonly channels: DataChannels;
  peer: End | undefined;

  constructor(readonly id: string) {
    const asChannel = (it: FakeChannel): RTCDataChannel => it as unknown as RTCDataChannel;
    this.channels = new DataChannels(asChannel(this.reliable), asChannel(this.lossy), (envelope) => {
      const rpc = envelope.kind === EnvelopeKind.RpcRequest || envelope.kind === EnvelopeKind.RpcResponse;
      if (rpc) this.rpc.handle(this.channels, envelope);
      else this.streams.handle(envelope);
    });
    this.reliable.open();
    this.lossy.open();
    this.reliable.send = (bytes) => {
      const sent = decodeEnvelope(bytes)!;
      const delivered = encodeEnvelope({ ...sent, sender: this.id, destinations: [] });
      this.peer?.reliable.onmessage?.({ data: delivered.buffer });
    };
  }
}

let ann: End;
let bob: End;
beforeEach(() => {
  ann = new End(ANN);
  bob = new End(BOB);
  ann.peer = bob;
  bob.peer = ann;
});

describe('texts', () => {
  it.each([0, 1, MAX_CHUNK, MAX_CHUNK + 1, 100_000])('of %d bytes arrive', async (length) => {
    const got = new Promise<[string, string | undefined]>((resolve) =>
      bob.streams.textHandlers.set('chat', (reader, sender) => void reader.readAll().then((text) => resolve([text, sender]))),
    );
    const text = '한'.repeat(Math.floor(length / 3)).padEnd(length % 7, 'x');
    await sendText(ann.channels, text, 'chat', []);
    expect(await got).toEqual([text, ANN]);
  });

  it('without a handler are dropped', async () => {
    await sendText(ann.channels, 'hi', 'other', []);
  });
});

describe('files', () => {
  const file = new Blob([Uint8Array.from({ length: 100_001 }, (_, i) => i % 251)], { type: 'image/png' });
  const receive = (): Promise<ByteStreamReader> => new Promise((resolve) => bob.streams.byteHandlers.set('file', resolve));

  it('arrive intact, with progress at both ends', async () => {
    const got = receive();
    const progress: number[] = [];
    const sending = sendStream(ann.channels, file, { name: 'a.png', mimeType: 'image/png' }, { topic: 'file', onProgress: (it) => progress.push(it) }, []);
    const reader = await got;
    const whole = await reader.readAll();
    await sending;
    expect(reader.info).toMatchObject({ name: 'a.png', mimeType: 'image/png', size: 100_001, topic: 'file' });
    expect(new Uint8Array(await whole.arrayBuffer())).toEqual(new Uint8Array(await file.arrayBuffer()));
    expect(progress.at(-1)).toBe(1);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
  });

  it('can be aborted by the sender', async () => {
    const got = receive();
    const abort = new AbortController();
    const options = { topic: 'file', signal: abort.signal, onProgress: () => abort.abort() };
    const sending = sendStream(ann.channels, file, {}, options, []).catch((error: unknown) => error);
    const whole = (await got).readAll().catch((error: unknown) => error);
    expect(await sending).toMatchObject({ failure: 'aborted' });
    expect(await whole).toMatchObject({ failure: 'aborted' });
  });

  it('end with an error when their sender leaves or a chunk is missing', async () => {
    const header = { kind: EnvelopeKind.StreamHeader, sender: ANN, topic: 'file', destinations: [], chunkIndex: 0, payload: new TextEncoder().encode('{"size":9}') };
    const got: TextStreamReader[] | ByteStreamReader[] = [];
    bob.streams.byteHandlers.set('file', (reader) => (got as ByteStreamReader[]).push(reader));
    bob.streams.handle({ ...header, streamId: 1 });
    bob.streams.handle({ ...header, streamId: 2 });
    bob.streams.handle({ ...header, kind: EnvelopeKind.StreamChunk, streamId: 1, chunkIndex: 3 });
    bob.streams.abort(ANN);
    await expect(got[0]!.readAll()).rejects.toMatchObject({ failure: 'malformed' });
    await expect(got[1]!.readAll()).rejects.toMatchObject({ failure: 'aborted' });
  });

  it('of one sender are bounded in number', () => {
    const opened = vi.fn();
    bob.streams.byteHandlers.set('file', opened);
    const header = { kind: EnvelopeKind.StreamHeader, sender: ANN, topic: 'file', destinations: [], chunkIndex: 0, payload: new TextEncoder().encode('{}') };
    for (let streamId = 0; streamId < 1000; streamId++) bob.streams.handle({ ...header, streamId });
    expect(opened).toHaveBeenCalledTimes(64);
  });
});

describe('what others send', () => {
  const MIB = 1024 * 1024;
  const readers: ByteStreamReader[] = [];
  beforeEach(() => {
    readers.length = 0;
    bob.streams.byteHandlers.set('file', (reader) => readers.push(reader));
  });
  const base = { sender: ANN, topic: 'file', destinations: [] };
  const header = (streamId: number, header: object): void =>
    bob.streams.handle({ ...base, kind: EnvelopeKind.StreamHeader, streamId, chunkIndex: 0, payload: new TextEncoder().encode(JSON.stringify(header)) });
  const chunks = (streamId: number, count: number, from = 0): void => {
    const payload = new Uint8Array(MIB);
    for (let chunkIndex = from; chunkIndex < from + count; chunkIndex++) bob.streams.handle({ ...base, kind: EnvelopeKind.StreamChunk, streamId, chunkIndex, payload });
  };
  const end = (streamId: number): void => bob.streams.handle({ ...base, kind: EnvelopeKind.StreamEnd, streamId, chunkIndex: 0, payload: new Uint8Array() });
  const failure = (work: Promise<unknown>): Promise<unknown> => work.then(() => 'read', (error: { failure: string }) => error.failure);

  it('and is not read is bounded over all streams', async () => {
    for (let streamId = 1; streamId <= 4; streamId++) {
      header(streamId, {});
      chunks(streamId, 30);
      end(streamId);
    }
    // 120 MiB came; the two that were last fit.
    expect(await Promise.all(readers.map((reader) => failure(reader.readAll())))).toEqual(['tooLarge', 'tooLarge', 'read', 'read']);
  });

  it('and is not read does not end what is read', async () => {
    header(1, {});
    const whole = readers[0]!.readAll({ maxBytes: Infinity });
    chunks(1, 1);
    header(2, {});
    chunks(2, 60);
    for (let index = 1; index < 100; index++) {
      await Promise.resolve();
      await new Promise((resolve) => setTimeout(resolve, 0));
      chunks(1, 1, index);
    }
    end(1);
    expect((await whole).size).toBe(100 * MIB);
  });

  it('without a size does not pass a limit', async () => {
    header(1, { name: 'endless' });
    const read = failure(readers[0]!.readAll({ maxBytes: 2 * MIB }));
    chunks(1, 3);
    expect(await read).toBe('tooLarge');
    header(2, { size: 5 * MIB });
    expect(await failure(readers[1]!.readAll({ maxBytes: 2 * MIB }))).toBe('tooLarge');
  });

  it('can be cancelled, and is kept no longer', async () => {
    header(1, {});
    chunks(1, 60);
    readers[0]!.cancel();
    chunks(1, 10, 60);
    header(2, {});
    chunks(2, 60);
    end(2);
    expect(await failure(readers[0]!.readAll())).toBe('aborted');
    expect(await failure(readers[1]!.readAll())).toBe('read');
  });

  it('has only strings for attributes, whatever the sender wrote', () => {
    header(1, { attributes: { a: 'x', b: 1, c: {} }, size: -5, name: 7 });
    header(2, { attributes: ['x'] });
    expect(readers[0]!.info).toMatchObject({ attributes: { a: 'x' }, size: undefined, name: '' });
  });

  it('under a topic that nobody reads is said once', async () => {
    const said: string[] = [];
    setLogSink((_level, message) => said.push(message));
    for (let i = 0; i < 3; i++) await sendText(ann.channels, 'hi', 'lost', []);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('registerTextStreamHandler');
  });
});

describe('backpressure', () => {
  const packet = { kind: EnvelopeKind.Packet, topic: '', destinations: [], streamId: 0, chunkIndex: 0, payload: new Uint8Array(60_000) };
  const open = (): [FakeChannel, FakeChannel, DataChannels] => {
    const [reliable, lossy] = [new FakeChannel('reliable'), new FakeChannel('lossy')];
    return [reliable, lossy, new DataChannels(reliable as unknown as RTCDataChannel, lossy as unknown as RTCDataChannel, () => {})];
  };

  it('holds reliable senders back and drops lossy messages', async () => {
    const [reliable, lossy, channels] = open();
    reliable.open();
    lossy.open();
    const sends = Array.from({ length: 10 }, () => channels.send(packet));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(reliable.sent.length).toBeLessThan(10);
    while (reliable.sent.length < 10) {
      reliable.drain();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(sends);
    for (let i = 0; i < 10; i++) await channels.send(packet, false);
    expect(lossy.sent.length).toBeLessThan(10);
  });

  it('waits for the channel to open, and fails when the session ends', async () => {
    const [reliable, , channels] = open();
    const first = channels.send(packet);
    reliable.open();
    await first;
    const waiting = Array.from({ length: 9 }, () => channels.send(packet));
    const results = Promise.allSettled(waiting);
    await new Promise((resolve) => setTimeout(resolve, 1));
    channels.close();
    expect((await results).filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
  });
});

describe('calls', () => {
  const call = (method: string, timeout?: number): Promise<string> => ann.rpc.call(ann.channels, { destination: BOB, method, payload: 'ping', timeout });

  it('return what the method returns', async () => {
    bob.rpc.methods.set('echo', async (caller, payload) => `${payload} of ${caller}`);
    expect(await call('echo')).toBe(`ping of ${ANN}`);
  });

  it('fail with the error of the method, without one, and in time', async () => {
    bob.rpc.methods.set('no', () => {
      throw new RpcError('busy', 'later', 'data');
    });
    bob.rpc.methods.set('broken', () => {
      throw new Error('secret');
    });
    bob.rpc.methods.set('slow', () => new Promise(() => {}));
    await expect(call('no')).rejects.toMatchObject({ code: 'busy', message: 'later', data: 'data' });
    await expect(call('broken')).rejects.toMatchObject({ code: 'rpc_failed', message: 'the handler failed' });
    await expect(call('unknown')).rejects.toMatchObject({ code: 'rpc_no_method' });
    await expect(call('slow', 5)).rejects.toMatchObject({ code: 'rpc_timeout' });
  });

  it('fail when the recipient leaves, and do not believe others', async () => {
    bob.rpc.methods.set('slow', () => new Promise(() => {}));
    const failed = call('slow').catch((error: unknown) => error);
    const forged = { kind: EnvelopeKind.RpcResponse, sender: `PA_${'c'.repeat(24)}`, topic: 'slow', destinations: [], chunkIndex: 0, payload: new Uint8Array() };
    for (let streamId = 0; streamId < 100; streamId++) ann.rpc.handle(ann.channels, { ...forged, streamId });
    ann.rpc.abort(BOB);
    expect(await failed).toMatchObject({ code: 'rpc_no_recipient' });
  });
});
