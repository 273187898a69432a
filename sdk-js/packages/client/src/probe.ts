/**
 * What HTTP says of a WebSocket that was refused. Browsers hide the status of a refused upgrade; the server answers a plain
 * GET of the same address with the reason as JSON, and with 426 where it would have upgraded (docs/protocol.md, "Opening").
 *
 * Only an answer in the server's own form (`{code, message, retryable}`) counts as the server's word. Everything else comes
 * from a proxy or another program, and may be gone a moment later.
 */
import { abortError, abortable } from './async';
import { ConnectionError } from './errors';
import { probeUrl } from './protocol';
import type { Admission } from './protocol';

/** Milliseconds that an answer may take. */
const TIMEOUT = 3000;
/** From this attempt to come back on, HTTP is asked before a WebSocket is opened. */
const PROBE_FROM = 2;
/** Each so many attempts a WebSocket is opened although HTTP is silent: a page may be forbidden to ask. */
const BLIND_EVERY = 8;

/** What was learned. */
export type Verdict =
  /** The server would upgrade this very request. */
  | { kind: 'ready' }
  /** The server said no. `error.retryable` tells whether the same may work later. */
  | { kind: 'refused'; error: ConnectionError }
  /** Something answers that is not the server. */
  | { kind: 'foreign'; error: ConnectionError }
  /** Nothing answers, or the page may not ask. */
  | { kind: 'silent'; error: ConnectionError };

/** Asks. `undefined`: there is no `fetch` here. */
export async function probe(server: string, admission: Admission, signal: AbortSignal): Promise<Verdict | undefined> {
  if (typeof fetch !== 'function') return undefined;
  const url = probeUrl(server, admission);
  const { host } = new URL(url);
  let response: Response;
  try {
    response = await abortable(fetch(url, { signal: AbortSignal.timeout(TIMEOUT), cache: 'no-store' }), signal);
  } catch (cause) {
    if (signal.aborted) throw abortError(signal);
    return { kind: 'silent', error: new ConnectionError('serverUnreachable', `nothing answers at ${host}`, { cause }) };
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (!isWireError(body)) return { kind: 'foreign', error: foreign(host, response.status) };
  if (body.code === 'upgrade_required') return { kind: 'ready' };
  const reason = response.status === 401 || response.status === 403 ? 'notAllowed' : 'refused';
  return { kind: 'refused', error: new ConnectionError(reason, body.message, { code: body.code, retryable: body.retryable }) };
}

/**
 * Before a further attempt to come back: rejects with what HTTP says against it. A server that is down is found out without a
 * WebSocket, whose failures make Firefox wait ever longer, and without a peer connection.
 */
export async function askFirst(server: string, admission: Admission, attempt: number, signal: AbortSignal): Promise<void> {
  if (attempt < PROBE_FROM) return;
  const verdict = await probe(server, admission, signal);
  const isBlind = verdict?.kind === 'silent' && attempt % BLIND_EVERY === BLIND_EVERY - 1;
  if (verdict && verdict.kind !== 'ready' && !isBlind) throw verdict.error;
}

/** The server is there and ready, and yet no WebSocket opens. */
export function webSocketBlocked(server: string): ConnectionError {
  const { host } = new URL(server);
  const text = `${host} answers over HTTP, but the WebSocket was not upgraded: a proxy before the server drops the Upgrade and Connection headers. Let it pass them for /v1/rtc`;
  return new ConnectionError('webSocketBlocked', text, { code: 'websocket_blocked', retryable: true });
}

function foreign(host: string, status: number): ConnectionError {
  const text = `${host} answers with HTTP ${status}, but not as a Madang server does: check the address and its path, and the proxy before the server`;
  return new ConnectionError('serverUnreachable', text, { code: 'not_madang' });
}

interface WireErrorBody {
  code: string;
  message: string;
  retryable: boolean;
}

function isWireError(body: unknown): body is WireErrorBody {
  if (typeof body !== 'object' || body === null) return false;
  const { code, message, retryable } = body as Partial<Record<keyof WireErrorBody, unknown>>;
  return typeof code === 'string' && typeof message === 'string' && typeof retryable === 'boolean';
}
