/** Data that comes in: to whom in the application each message goes. */
import type { EventEmitter } from 'eventemitter3';
import type { DataChannels } from './data-channels';
import { DataStreams } from './data-streams';
import type { StreamHandler } from './data-streams';
import { EnvelopeKind } from './envelope';
import type { Envelope } from './envelope';
import { RpcError } from './errors';
import type { RoomEvents } from './events';
import type { RemoteParticipant } from './remote-participant';
import type { Roster } from './roster';
import { Rpc } from './rpc';
import type { ByteStreamReader, TextStreamReader } from './stream-reader';

/** Reads a stream; the participant is undefined when it has left already. */
export type ReaderHandler<R> = (reader: R, participant: RemoteParticipant | undefined) => void;
/** Answers a call. Throw an `RpcError` to choose what the caller sees. */
export type RpcMethod = (call: { caller: RemoteParticipant; payload: string }) => string | Promise<string>;

export class DataHub {
  readonly rpc = new Rpc();
  private readonly streams = new DataStreams();

  constructor(
    private readonly events: EventEmitter<RoomEvents>,
    private readonly roster: () => Roster,
  ) {}

  handle(channels: DataChannels, envelope: Envelope, reliable: boolean): void {
    switch (envelope.kind) {
      case EnvelopeKind.Packet:
        this.events.emit('dataReceived', envelope.payload, this.roster().bySid(envelope.sender), envelope.topic, reliable);
        return;
      case EnvelopeKind.RpcRequest:
      case EnvelopeKind.RpcResponse:
        return this.rpc.handle(channels, envelope);
      default:
        return this.streams.handle(envelope);
    }
  }

  /** Streams and calls of a participant who left, or of all, end. */
  abort(sid?: string): void {
    this.streams.abort(sid);
    this.rpc.abort(sid);
  }

  setTextHandler(topic: string, handler: ReaderHandler<TextStreamReader> | undefined): void {
    if (handler) this.streams.textHandlers.set(topic, this.withParticipant(handler));
    else this.streams.textHandlers.delete(topic);
  }

  setByteHandler(topic: string, handler: ReaderHandler<ByteStreamReader> | undefined): void {
    if (handler) this.streams.byteHandlers.set(topic, this.withParticipant(handler));
    else this.streams.byteHandlers.delete(topic);
  }

  setMethod(method: string, handler: RpcMethod | undefined): void {
    if (!handler) {
      this.rpc.methods.delete(method);
      return;
    }
    this.rpc.methods.set(method, (sid, payload) => {
      const caller = this.roster().bySid(sid);
      if (!caller) throw new RpcError('rpc_failed', 'the caller is not in the room');
      return handler({ caller, payload });
    });
  }

  private withParticipant<R>(handler: ReaderHandler<R>): StreamHandler<R> {
    return (reader, sender) => handler(reader, this.roster().bySid(sender));
  }
}
