/** A trial connection, for a "test my connection" page. */
import type { Room } from './room';

export interface ConnectionCheck {
  /** The WebSocket and the join. */
  signal: boolean;
  /** The media path, up to encryption. */
  media: boolean;
  /** `udp` or `tcp`. */
  protocol: string | undefined;
  /** Of the media path, in seconds. */
  roundTripTime: number | undefined;
  /** What failed. */
  error: unknown;
}

/** Milliseconds between looks, and how often. */
const STEP = 100;
const STEPS = 100;

export async function checkConnection(room: Room, url: string, token: string): Promise<ConnectionCheck> {
  const result: ConnectionCheck = { signal: false, media: false, protocol: undefined, roundTripTime: undefined, error: undefined };
  try {
    await room.connect(url, token, { autoSubscribe: false });
    result.signal = true;
    for (let step = 0; step < STEPS && !result.media; step++) {
      await new Promise((resolve) => setTimeout(resolve, STEP));
      const { srtpCipher, protocol, roundTripTime } = await room.getStats();
      Object.assign(result, { media: srtpCipher !== undefined, protocol, roundTripTime });
    }
  } catch (error) {
    result.error = error;
  } finally {
    await room.disconnect();
  }
  return result;
}
