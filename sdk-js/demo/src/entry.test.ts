import { expect, it } from 'vitest';

import { describeToken, roomFromLocation, serverUrl, tokenFromLocation } from './entry';

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

it('a token describes its room, and nonsense describes nothing', () => {
  const payload = Buffer.from(JSON.stringify({ sub: 'ann', name: 'Änn', video: { room: 'yard' } })).toString('base64url');
  expect(describeToken(`h.${payload}.s`)).toEqual({ room: 'yard', name: 'Änn' });
  for (const nonsense of ['', 'a', 'a.b.c', 'a.!.c']) expect(describeToken(nonsense)).toEqual({ room: '', name: '' });
});
