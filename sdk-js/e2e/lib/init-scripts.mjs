// What a page does before its own code runs, so that product code needs no door for tests. Each is { script, argument } for
// `browser.open`; scripts run in the page, so they use nothing from here.

/** Sends media through a `UdpProxy`: the answer keeps its one address, with the proxy's ports, and TCP candidates where they are wanted. */
export function pointToProxy({ address, ports }, { keepTcp = false } = {}) {
  return { script: rewriteCandidates, argument: { address, ports, keepTcp } };
}

/**
 * Hides transport-wide feedback from the server. The offer itself stays, as no browser lets us change it; what is not in the
 * server's answer is off.
 */
export function withoutTransportCc() {
  return { script: hideTransportCc, argument: null };
}

function rewriteCandidates({ address, ports, keepTcp }) {
  const original = RTCPeerConnection.prototype.setRemoteDescription;
  const rewrite = (line) => {
    if (!line.startsWith('a=candidate:')) return [line];
    const parts = line.split(' ');
    const [, , protocol, , host, port] = parts;
    const ours = ports[port];
    if (keepTcp && protocol.toLowerCase() === 'tcp') return [line];
    if (protocol.toLowerCase() !== 'udp' || host !== address || ours === undefined) return [];
    parts[5] = String(ours);
    return [parts.join(' ')];
  };
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const sdp = description.sdp.split('\r\n').flatMap(rewrite).join('\r\n');
    if (!sdp.includes('a=candidate:')) throw new Error(`the answer has no UDP candidate at ${address} with a port of ${Object.keys(ports)}`);
    return original.call(this, { type: description.type, sdp });
  };
}

function hideTransportCc() {
  const { get } = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, 'localDescription');
  const isOfTransportCc = (line) => /^a=rtcp-fb:\S+ transport-cc$/.test(line) || /^a=extmap:.*transport-wide-cc/.test(line);
  Object.defineProperty(RTCPeerConnection.prototype, 'localDescription', {
    configurable: true,
    get() {
      const description = get.call(this);
      const sdp = description?.sdp.split('\r\n').filter((line) => !isOfTransportCc(line)).join('\r\n');
      return description && { type: description.type, sdp };
    },
  });
}
