import { afterEach, expect, it, vi } from 'vitest';

import { describeToken, foreignHost, loadTicket, roomFromLocation, roomLink, saveTicket, serverUrl, tokenFromLocation } from './entry';

afterEach(() => vi.unstubAllGlobals());

const at = (href: string): Location => new URL(href) as unknown as Location;

it('the room comes from the query, else from the path', () => {
  expect(roomFromLocation(at('https://example.org/?room=yard'))).toBe('yard');
  expect(roomFromLocation(at('https://example.org/yard%202'))).toBe('yard 2');
  expect(roomFromLocation(at('https://example.org/'))).toBe('');
  expect(roomFromLocation(at('https://example.org/index.html'))).toBe('');
  expect(roomFromLocation(at('https://example.org/%E0%A4%A'))).toBe('');
});

it('a token in the fragment wins over one in the query', () => {
  expect(tokenFromLocation(at('https://example.org/?token=a#token=b'))).toBe('b');
  expect(tokenFromLocation(at('https://example.org/?token=a'))).toBe('a');
  expect(tokenFromLocation(at('https://example.org/'))).toBe('');
});

it('signalling is as secure as the page', () => {
  expect(serverUrl(at('https://example.org/x'))).toBe('wss://example.org');
  expect(serverUrl(at('http://localhost:7880/'))).toBe('ws://localhost:7880');
});

it('signalling is under the path that the page is under', () => {
  expect(serverUrl(at('https://example.org/sfu/'))).toBe('wss://example.org/sfu');
  expect(serverUrl(at('https://example.org/sfu/yard?x=1'))).toBe('wss://example.org/sfu');
  expect(roomFromLocation(at('https://example.org/sfu/'))).toBe('');
  expect(roomFromLocation(at('https://example.org/sfu/yard'))).toBe('yard');
});

it('another server is known for one, however it is written', () => {
  const page = at('https://example.org/?url=x');
  for (const url of ['wss://evil.test', 'https://example.org.evil.test/x', 'wss://example.org@evil.test', 'wss://example.org:444']) expect(foreignHost(url, page)).toBeTruthy();
  for (const url of ['wss://example.org', 'https://EXAMPLE.org/sfu', 'nonsense']) expect(foreignHost(url, page)).toBeUndefined();
});

it('a link carries what it needs, and says where something is missing', () => {
  const page = at('https://example.org/sfu/?room=a&token=secret');
  expect(roomLink('a b', 'wss://example.org/sfu', false, page)).toEqual({ href: 'https://example.org/sfu/?room=a+b', complete: true });
  expect(roomLink('a', 'wss://other.test', true, page)).toEqual({ href: 'https://example.org/sfu/?room=a&url=wss%3A%2F%2Fother.test', complete: false });
});

it('a ticket outlives a reload of its tab, for its room', () => {
  const kept = new Map<string, string>();
  vi.stubGlobal('sessionStorage', { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => kept.set(key, value), removeItem: (key: string) => kept.delete(key) });
  expect(loadTicket('yard')).toBeUndefined();
  saveTicket({ room: 'yard', token: 't' });
  expect([loadTicket('yard')?.token, loadTicket('')?.token, loadTicket('other')]).toEqual(['t', 't', undefined]);
  saveTicket(undefined);
  expect(loadTicket('yard')).toBeUndefined();
});

it('a token describes its room, and nonsense describes nothing', () => {
  const payload = Buffer.from(JSON.stringify({ sub: 'ann', name: 'Änn', video: { room: 'yard' } })).toString('base64url');
  expect(describeToken(`h.${payload}.s`)).toEqual({ room: 'yard', name: 'Änn' });
  for (const nonsense of ['', 'a', 'a.b.c', 'a.!.c']) expect(describeToken(nonsense)).toEqual({ room: '', name: '' });
});
