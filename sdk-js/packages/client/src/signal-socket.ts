/** Opens WebSockets to the server, and finds out why one did not open. */
import { abortError, onAbort } from './async';
import { ConnectionError } from './errors';
import { probe, webSocketBlocked } from './probe';
import { signalUrl } from './protocol';
import type { Admission } from './protocol';

/** `WebSocket.OPEN`, which is a global where there is one. */
const OPEN = 1;

export type WebSocketFactory = (url: string) => WebSocket;

/** What an opening needs. */
export interface Opening {
  server: string;
  admission: Admission;
  factory: WebSocketFactory | undefined;
  signal: AbortSignal;
}

export function isOpen(socket: WebSocket): boolean {
  return socket.readyState === OPEN;
}

/** Takes all handlers off a socket. */
export function forget(socket: WebSocket): void {
  socket.onopen = socket.onclose = socket.onerror = socket.onmessage = null;
}

/**
 * Opens one. Rejects with the server's reason where it says one over HTTP. Where the server says that it would upgrade, a
 * second attempt tells a proxy that drops the upgrade from a server that had only just started.
 */
export async function openSocket(opening: Opening): Promise<WebSocket> {
  try {
    return await openOnce(opening);
  } catch (error) {
    if (opening.signal.aborted || isFinal(error)) throw error;
    const verdict = await probe(opening.server, opening.admission, opening.signal);
    if (verdict?.kind !== 'ready') throw verdict?.error ?? error;
  }
  try {
    return await openOnce(opening);
  } catch (error) {
    throw opening.signal.aborted ? error : webSocketBlocked(opening.server);
  }
}

function openOnce({ server, admission, factory, signal }: Opening): Promise<WebSocket> {
  const url = signalUrl(server, admission);
  if (!factory && typeof WebSocket === 'undefined') throw new ConnectionError('unsupported', 'there is no WebSocket here');
  const socket = factory ? factory(url) : new WebSocket(url);
  let stop = (): void => undefined;
  return new Promise<WebSocket>((resolve, reject) => {
    stop = onAbort(signal, () => reject(abortError(signal)));
    socket.onopen = () => resolve(socket);
    socket.onclose = socket.onerror = () => reject(new ConnectionError('serverUnreachable', 'the WebSocket could not be opened'));
  })
    .catch((error: unknown) => {
      forget(socket);
      socket.close();
      throw error;
    })
    .finally(() => stop());
}

/** Whether the same will not work later either. */
export function isFinal(error: unknown): boolean {
  return error instanceof Error && 'retryable' in error && error.retryable === false;
}
