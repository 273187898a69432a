/** Keeps the peer connections and WebSockets that the SDK makes, so that tests see the browser's own measurements. */

export const connections: RTCPeerConnection[] = [];
export const sockets: WebSocket[] = [];

/** For `RoomOptions`. */
export const factories = {
  peerConnectionFactory(configuration: RTCConfiguration): RTCPeerConnection {
    const connection = new RTCPeerConnection(configuration);
    connections.push(connection);
    return connection;
  },
  webSocketFactory(url: string): WebSocket {
    const socket = new WebSocket(url);
    sockets.push(socket);
    return socket;
  },
};

type Stat = { id: string; type: string; [member: string]: unknown };

/** All statistics of the newest peer connection. */
export async function rawStats(): Promise<Stat[]> {
  const connection = connections.at(-1);
  if (!connection) return [];
  const all: Stat[] = [];
  (await connection.getStats()).forEach((stat: Stat) => all.push(stat));
  return all;
}

/** How the media travels. */
export async function transport(): Promise<{ srtpCipher: unknown; dtlsState: unknown; protocol: unknown; tcpType: unknown }> {
  const all = await rawStats();
  const byId = new Map(all.map((stat) => [stat.id, stat]));
  const transport = all.find((stat) => stat.type === 'transport');
  const pairs = all.filter((stat) => stat.type === 'candidate-pair');
  const chosen = byId.get(String(transport?.['selectedCandidatePairId'])) ?? pairs.find((pair) => pair['selected'] ?? pair['nominated']);
  const remote = byId.get(String(chosen?.['remoteCandidateId']));
  return {
    srtpCipher: transport?.['srtpCipher'],
    dtlsState: transport?.['dtlsState'],
    protocol: remote?.['protocol'],
    tcpType: remote?.['tcpType'],
  };
}
