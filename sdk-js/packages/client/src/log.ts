/** The SDK's logger. `setLogLevel('debug')` shows what it does; tokens and secrets are never logged. */
import loglevel from 'loglevel';
import type { LogLevelDesc } from 'loglevel';

export const log = /* @__PURE__ */ loglevel.getLogger('madang');

/** Sets how much the SDK logs: `trace`, `debug`, `info`, `warn` (default), `error`, `silent`. */
export function setLogLevel(level: LogLevelDesc): void {
  log.setLevel(level, false);
}
