/** How well media gets through, in words. */
import type { TrackStats } from './stats';
import { ConnectionQuality } from './types';

/** Judges one participant's tracks by loss and jitter, and, for our own, by what limits the encoder. */
export function qualityOf(tracks: readonly TrackStats[], roundTripTime: number | undefined): ConnectionQuality {
  const active = tracks.filter(({ packets }) => packets > 0);
  if (active.length === 0) return ConnectionQuality.Unknown;
  const loss = Math.max(...active.map(({ lossRate }) => lossRate));
  const jitter = Math.max(...active.map((it) => it.jitter ?? 0));
  const starved = active.some(({ limitedBy }) => limitedBy === 'bandwidth');
  if (loss > 0.1 || jitter > 0.2) return ConnectionQuality.Poor;
  if (loss > 0.03 || jitter > 0.06 || (roundTripTime ?? 0) > 0.4 || starved) return ConnectionQuality.Good;
  return ConnectionQuality.Excellent;
}
