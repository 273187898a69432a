/** What the server sends of a video track and why, for programs and in words for people. */
import type { SentLayer, StreamLimit, StreamState as WireState } from './generated/protocol';

/** What is sent of a remote video track. */
export class StreamState {
  /** `paused`: nothing is sent, {@link limit} says why. */
  readonly state: 'active' | 'paused';
  /** What is sent: its RID, layers, size and bits per second. */
  readonly layer: Readonly<SentLayer> | undefined;
  /** What keeps it from being better. */
  readonly limit: StreamLimit;
  /** Bits per second that the connection carries in all, as the server estimates; undefined: it does not know yet. */
  readonly estimate: number | undefined;

  /** @internal */
  constructor({ layer, limit, estimate }: WireState) {
    this.state = layer ? 'active' : 'paused';
    this.layer = layer ?? undefined;
    this.limit = limit;
    this.estimate = estimate;
  }

  /** In words: `360p: your connection carries 0.8 Mbps`, `Paused: not on screen`. */
  describe(): string {
    const reason = this.reason();
    return this.layer ? `${nameOf(this.layer)}: ${reason}` : `Paused: ${reason}`;
  }

  private reason(): string {
    switch (this.limit) {
      case 'none':
        return this.layer ? 'the best there is' : 'nothing to send yet';
      case 'size':
        return 'fits the size it is shown at';
      case 'cap':
        return 'as much as was asked for';
      case 'bandwidth':
        return this.estimate === undefined ? 'your connection carries no more' : `your connection carries ${inMegabits(this.estimate)}`;
      case 'publisher':
        return this.layer ? 'its sender sends no better now' : 'its sender sends nothing now';
      case 'hidden':
        return 'not on screen';
      case 'disabled':
        return 'switched off here';
      case 'muted':
        return 'switched off by its sender';
      case 'codec':
        return 'this browser cannot play its codec';
      case 'overload':
        return 'the server is busy';
      default:
        // A newer server may know more.
        return String(this.limit);
    }
  }
}

/** `360p` where the size is known: the shorter side, as people count. */
function nameOf({ rid, spatial, width, height }: SentLayer): string {
  if (width && height) return `${Math.min(width, height)}p`;
  return rid === undefined ? `layer ${spatial + 1}` : `layer ${rid}`;
}

function inMegabits(bits: number): string {
  const megabits = bits / 1_000_000;
  return `${megabits >= 10 ? Math.round(megabits) : megabits >= 0.1 ? megabits.toFixed(1) : megabits.toFixed(2)} Mbps`;
}
