/** Remote procedure calls between participants: one request, one response, over the reliable channel. */
import type { DataChannels } from './data-channels';
import { randomId } from './data-streams';
import { RpcError } from './errors';
import { EnvelopeKind } from './envelope';
import type { Envelope } from './envelope';

/** Milliseconds until a call without a response fails. */
const DEFAULT_TIMEOUT = 10_000;
/** The chunk index of a response says how the call went. */
const OK = 0;
const FAILED = 1;

export interface RpcCall {
  /** The participant's id. */
  destination: string;
  method: string;
  payload: string;
  /** Milliseconds. Default 10,000. */
  timeout?: number | undefined;
}

export type RpcHandler = (caller: string, payload: string) => string | Promise<string>;

interface Waiting {
  destination: string;
  resolve: (payload: string) => void;
  reject: (error: RpcError) => void;
}

export class Rpc {
  readonly methods = new Map<string, RpcHandler>();
  private readonly calls = new Map<number, Waiting>();

  async call(channels: DataChannels, { destination, method, payload, timeout = DEFAULT_TIMEOUT }: RpcCall): Promise<string> {
    const id = randomId();
    const answer = new Promise<string>((resolve, reject) => this.calls.set(id, { destination, resolve, reject }));
    const timer = setTimeout(() => this.calls.get(id)?.reject(new RpcError('rpc_timeout', `no response to ${method}`)), timeout);
    try {
      const request = { kind: EnvelopeKind.RpcRequest, topic: method, destinations: [destination], streamId: id, chunkIndex: 0 };
      await channels.send({ ...request, payload: encode(payload) });
      return await answer;
    } finally {
      answer.catch(() => undefined);
      clearTimeout(timer);
      this.calls.delete(id);
    }
  }

  /** A message of kind request or response. */
  handle(channels: DataChannels, envelope: Envelope): void {
    if (envelope.kind === EnvelopeKind.RpcRequest) void this.serve(channels, envelope).catch(() => undefined);
    else this.settle(envelope);
  }

  /** Calls to a participant who left, or to all, fail. */
  abort(destination?: string): void {
    for (const call of this.calls.values()) {
      if (destination === undefined || call.destination === destination) call.reject(new RpcError('rpc_no_recipient', 'the recipient is gone'));
    }
  }

  private settle({ streamId, sender, chunkIndex, payload }: Envelope): void {
    const call = this.calls.get(streamId);
    // A response of somebody else is a guess or a forgery.
    if (!call || call.destination !== sender) return;
    if (chunkIndex === OK) return call.resolve(decode(payload));
    const { code, message, data } = parseFailure(decode(payload));
    call.reject(new RpcError(code, message, data));
  }

  private async serve(channels: DataChannels, { sender, topic, streamId, payload }: Envelope): Promise<void> {
    if (sender === undefined) return;
    const respond = (chunkIndex: number, text: string): Promise<void> =>
      channels.send({ kind: EnvelopeKind.RpcResponse, topic, destinations: [sender], streamId, chunkIndex, payload: encode(text) });
    try {
      const method = this.methods.get(topic);
      if (!method) throw new RpcError('rpc_no_method', `no method ${topic}`);
      await respond(OK, await method(sender, decode(payload)));
    } catch (error) {
      const failure = error instanceof RpcError ? error : new RpcError('rpc_failed', 'the handler failed');
      await respond(FAILED, JSON.stringify({ code: failure.code, message: failure.message, data: failure.data }));
    }
  }
}

function parseFailure(text: string): { code: string; message: string; data: string } {
  try {
    const { code, message, data } = JSON.parse(text) as Record<string, unknown>;
    return { code: String(code), message: String(message), data: String(data) };
  } catch {
    return { code: 'rpc_failed', message: 'the call failed', data: '' };
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
