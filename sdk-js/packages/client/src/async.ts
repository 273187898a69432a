/** Waiting that can be aborted. */
import { ConnectionError } from './errors';

/** The error that an aborted signal stands for. */
export function abortError(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof ConnectionError ? reason : new ConnectionError('cancelled', 'the attempt was aborted', { cause: reason });
}

/** Waits; rejects when the signal is aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    const abort = (): void => {
      clearTimeout(timer);
      reject(abortError(signal!));
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Rejects as soon as the signal is aborted, otherwise does what `work` does. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal));
    const abort = (): void => reject(abortError(signal));
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Waits, but no longer than until the browser says that the network is back. */
export async function sleepUnlessOnline(milliseconds: number, signal: AbortSignal): Promise<void> {
  const nap = new AbortController();
  const wake = (): void => nap.abort();
  const stops = [onOnline(wake), onAbort(signal, wake)];
  await sleep(milliseconds, nap.signal).catch(() => undefined);
  for (const stop of stops) stop();
  if (signal.aborted) throw abortError(signal);
}

/** Calls `listener` when the signal is aborted, at once where it is already. Returns how to stop. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** Calls `listener` when the browser says that the network is back. Returns how to stop. */
export function onOnline(listener: () => void): () => void {
  if (typeof window === 'undefined' || typeof window.addEventListener !== 'function') return () => undefined;
  window.addEventListener('online', listener);
  return () => window.removeEventListener('online', listener);
}

/** A promise that is settled from outside. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
}

/** A promise that is settled from outside. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Runs tasks one after another, whether or not those before have failed. */
export class Queue {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.last.then(task, task);
    this.last = result.catch(() => undefined);
    return result;
  }
}
