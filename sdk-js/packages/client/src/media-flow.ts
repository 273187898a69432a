/**
 * What really passes over a peer connection's network paths, as the browser counts it. Checks of ICE are not in it: a path that
 * answers checks and carries no media is what this is there to find.
 */

/** What passed within a time. */
export interface Flow {
  /** Bytes that arrived: media, reports, data. */
  received: number;
  /** Bytes that left over a path. */
  sent: number;
  /** Packets that senders made. They may not leave: Firefox makes packets without a path. */
  made: number;
}

interface Stat {
  type: string;
  bytesReceived?: number;
  bytesSent?: number;
  packetsSent?: number;
}

/** Reads what passed since it last read. */
export class FlowMeter {
  private before: Map<string, Stat> | undefined;

  constructor(private readonly connection: Pick<RTCPeerConnection, 'getStats'>) {}

  /** `undefined`: the first reading, or the browser counts nothing. */
  async read(): Promise<Flow | undefined> {
    const now = new Map<string, Stat>();
    (await this.connection.getStats()).forEach((stat: Stat, id: string) => {
      if (stat.type === 'candidate-pair' || stat.type === 'outbound-rtp') now.set(id, { ...stat });
    });
    const { before } = this;
    this.before = now;
    if (!before || now.size === 0) return undefined;
    const flow: Flow = { received: 0, sent: 0, made: 0 };
    for (const [id, stat] of now) {
      const last = before.get(id);
      const rise = (member: 'bytesReceived' | 'bytesSent' | 'packetsSent'): number => Math.max(0, (stat[member] ?? 0) - (last?.[member] ?? 0));
      if (stat.type === 'candidate-pair') {
        flow.received += rise('bytesReceived');
        flow.sent += rise('bytesSent');
      } else {
        flow.made += rise('packetsSent');
      }
    }
    return flow;
  }
}
