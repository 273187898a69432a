/** The SDK's log. Tokens and secrets are never written. Small and our own, because importing the SDK must touch no globals. */

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LEVELS)[number];
/** Takes what is logged in place of the console. */
export type LogSink = (level: Exclude<LogLevel, 'silent'>, message: string, ...context: unknown[]) => void;

let threshold = LEVELS.indexOf('warn');
let sink: LogSink = (level, message, ...context) => console[level](`[madang] ${message}`, ...context);

/** Sets how much the SDK logs. Default `warn`. */
export function setLogLevel(level: LogLevel): void {
  threshold = LEVELS.indexOf(level);
}

/** Sends the log elsewhere. */
export function setLogSink(to: LogSink): void {
  sink = to;
}

function writer(level: Exclude<LogLevel, 'silent'>): (message: string, ...context: unknown[]) => void {
  const rank = LEVELS.indexOf(level);
  return (message, ...context) => {
    if (rank >= threshold) sink(level, message, ...context);
  };
}

export const log = { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') };
