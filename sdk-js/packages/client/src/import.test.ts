import { expect, it, vi } from 'vitest';

it('can be imported where there is no browser, and touches no globals', async () => {
  const names = ['window', 'document', 'navigator', 'WebSocket', 'RTCPeerConnection', 'MediaStream'];
  for (const name of names) {
    vi.stubGlobal(name, new Proxy(function absent() {}, { get: (_target, member) => expect.unreachable(`${name}.${String(member)}`) }));
  }
  const { Room, RoomEvent } = await import('./index');
  new Room({ adaptiveStream: true, dynacast: true }).on(RoomEvent.Connected, () => {});
  vi.unstubAllGlobals();
});
