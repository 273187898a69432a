/**
 * Every error that the SDK throws. All extend {@link MadangError}, whose `code` is stable for programs and equals the
 * server's code where the server refused something (docs/errors.md).
 */
import type { WireError } from './generated/protocol';
import type { TrackKind } from './types';

/** The base of all errors of the SDK. */
export class MadangError extends Error {
  // Written out: a bundler may rename classes, and programs compare names.
  override readonly name: string = 'MadangError';
  /** Stable for programs. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Why a connection could not be made or kept. */
export type ConnectionErrorReason =
  /** The token is missing, wrong, expired or for another room or server. */
  | 'notAllowed'
  /** Nothing answers at the address, or something that is not the server. */
  | 'serverUnreachable'
  /** The server answers over HTTP, but a proxy before it does not let WebSockets through. */
  | 'webSocketBlocked'
  /** The address is no URL of a server (`wss:`, `ws:`, `https:` or `http:`). */
  | 'invalidUrl'
  /** There is no WebRTC or no WebSocket here, as in Node.js. */
  | 'unsupported'
  /** `disconnect()` was called or the signal was aborted. */
  | 'cancelled'
  /** The server or the network took too long. */
  | 'timeout'
  /** The server refused the join; `code` says why. */
  | 'refused'
  /** The WebSocket was lost while a request was under way. */
  | 'signalLost'
  /** The media path could not be made. */
  | 'mediaFailed'
  /** The room is not connected. */
  | 'notConnected'
  /** What came from the server is not the protocol. */
  | 'protocol';

/** The connection could not be made or kept. */
export class ConnectionError extends MadangError {
  override readonly name = 'ConnectionError';
  readonly reason: ConnectionErrorReason;
  /** Whether the same may work later. */
  readonly retryable: boolean;

  constructor(
    reason: ConnectionErrorReason,
    message: string,
    options?: ErrorOptions & { code?: string; retryable?: boolean },
  ) {
    super(options?.code ?? reason, message, options);
    this.reason = reason;
    this.retryable = options?.retryable ?? (reason === 'serverUnreachable' || reason === 'timeout' || reason === 'signalLost');
  }
}

/** The server refused a request. */
export class RequestError extends MadangError {
  override readonly name = 'RequestError';
  /** Whether the same request may work later. */
  readonly retryable: boolean;

  constructor(error: WireError) {
    super(error.code, error.message);
    this.retryable = error.retryable;
  }
}

/** What went wrong with a device. */
export type MediaDeviceFailure =
  /** The user or the browser's settings said no. */
  | 'permissionDenied'
  /** There is no such device. */
  | 'notFound'
  /** Another application holds it. */
  | 'inUse'
  /** It was unplugged, or the system took it away, while it was in use. */
  | 'ended'
  /** No device can do what was asked. */
  | 'constraintsUnmet'
  /** The page is not secure (HTTPS or localhost), or the browser lacks the API. */
  | 'unsupported'
  /** Something else; see `cause`. */
  | 'other';

/** A camera, microphone, screen or speaker could not be used. */
export class MediaDeviceError extends MadangError {
  override readonly name = 'MediaDeviceError';
  readonly failure: MediaDeviceFailure;
  readonly kind: MediaDeviceKind | 'screen';

  constructor(failure: MediaDeviceFailure, kind: MediaDeviceKind | 'screen', options?: ErrorOptions) {
    super(`device_${failure}`, `${kind}: ${DEVICE_TEXT[failure]}`, options);
    this.failure = failure;
    this.kind = kind;
  }

  /** What `getUserMedia`, `getDisplayMedia` or `setSinkId` threw, as one of ours. */
  static from(error: unknown, kind: MediaDeviceKind | 'screen'): MediaDeviceError {
    if (error instanceof MediaDeviceError) return error;
    const name = error instanceof Error || error instanceof DOMException ? error.name : '';
    return new MediaDeviceError(DEVICE_FAILURES[name] ?? 'other', kind, { cause: error });
  }
}

const DEVICE_TEXT: Record<MediaDeviceFailure, string> = {
  permissionDenied: 'permission was denied',
  notFound: 'no such device',
  inUse: 'the device is in use elsewhere',
  ended: 'the device was unplugged or taken away',
  constraintsUnmet: 'no device meets the constraints',
  unsupported: 'not available here; the page must be served over HTTPS or from localhost',
  other: 'the device failed',
};

const DEVICE_FAILURES: Record<string, MediaDeviceFailure> = {
  NotAllowedError: 'permissionDenied',
  PermissionDeniedError: 'permissionDenied',
  SecurityError: 'permissionDenied',
  NotFoundError: 'notFound',
  DevicesNotFoundError: 'notFound',
  NotReadableError: 'inUse',
  TrackStartError: 'inUse',
  AbortError: 'inUse',
  OverconstrainedError: 'constraintsUnmet',
  NotSupportedError: 'unsupported',
  TypeError: 'unsupported',
};

/** Offer and answer could not be agreed on. */
export class NegotiationError extends MadangError {
  override readonly name = 'NegotiationError';
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'negotiation', message, options);
  }
}

/** A track could not be published. */
export class PublishError extends MadangError {
  override readonly name = 'PublishError';
  readonly kind: TrackKind;

  constructor(kind: TrackKind, message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'publish', message, options);
    this.kind = kind;
  }
}

/** What went wrong with data. */
export type DataFailure =
  /** The message is longer than a data channel takes. */
  | 'tooLarge'
  /** The data channel is not open. */
  | 'closed'
  /** The sender or receiver gave up. */
  | 'aborted'
  /** The bytes are not an envelope, or a stream lost a chunk. */
  | 'malformed'
  /** What was given to be sent is not what the method takes. */
  | 'invalid';

/** Data could not be sent or received. */
export class DataError extends MadangError {
  override readonly name = 'DataError';
  readonly failure: DataFailure;

  constructor(failure: DataFailure, message: string, options?: ErrorOptions) {
    super(`data_${failure}`, message, options);
    this.failure = failure;
  }
}

/** A remote procedure call failed. Throw one in a handler to choose what the caller sees. */
export class RpcError extends MadangError {
  override readonly name = 'RpcError';
  /** Free for the application, when it was thrown by a handler. */
  readonly data: string;

  constructor(code: 'rpc_timeout' | 'rpc_no_method' | 'rpc_no_recipient' | 'rpc_failed' | (string & {}), message: string, data = '') {
    super(code, message);
    this.data = data;
  }
}
