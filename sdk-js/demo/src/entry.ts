/** How somebody enters: the room from the URL, and the token that opens it. */

/** What `connect` needs. */
export interface Entry {
  url: string;
  token: string;
}

/** A refused entry, in words for people. */
export class EntryError extends Error {
  override name = 'EntryError';

  constructor(
    message: string,
    /** Whether a pasted token would help. */
    readonly needsToken = false,
  ) {
    super(message);
  }
}

/** The room that `?room=` or the last part of the path names. */
export function roomFromLocation(location: Location): string {
  const asked = new URLSearchParams(location.search).get('room');
  if (asked) return asked.trim();
  const last = location.pathname.slice(location.pathname.lastIndexOf('/') + 1);
  if (last.endsWith('.html')) return '';
  try {
    return decodeURIComponent(last);
  } catch {
    return '';
  }
}

/** A token given in the link: after `#` so that it reaches no server's log, or as `?token=`. */
export function tokenFromLocation(location: Location): string {
  const fragment = new URLSearchParams(location.hash.slice(1)).get('token');
  return fragment ?? new URLSearchParams(location.search).get('token') ?? '';
}

/** The path that a proxy serves this page under, without a slash at its end: all but the last part, which may name a room. */
function prefix({ pathname }: Location): string {
  return pathname.slice(0, pathname.lastIndexOf('/')).replace(/\/+$/, '');
}

/** The signalling URL beside this page; `?url=` names another server. */
export function serverUrl(location: Location): string {
  const asked = new URLSearchParams(location.search).get('url');
  if (asked) return asked;
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${prefix(location)}`;
}

/**
 * The host of a server that is not this page's own; undefined: it is. Whoever made a link decides what `?url=` says, so nothing may
 * go to such a host before the person in front of the page has agreed. What is no URL goes nowhere.
 */
export function foreignHost(url: string, location: Location): string | undefined {
  try {
    const { host } = new URL(url);
    return host === location.host ? undefined : host;
  } catch {
    return undefined;
  }
}

/** A link that opens the room for others. A token is one person's, and is left out; `complete`: the link works without one. */
export function roomLink(room: string, url: string, hasToken: boolean, location: Location): { href: string; complete: boolean } {
  const link = new URL(`${prefix(location)}/`, location.origin);
  link.searchParams.set('room', room);
  if (foreignHost(url, location)) link.searchParams.set('url', url);
  return { href: link.href, complete: !hasToken };
}

const TICKET = 'madang.ticket';

/** A token that came by a link or was pasted, for as long as the tab lives: a reload and a second entry need it again. */
export interface Ticket {
  room: string;
  token: string;
}

/** The ticket of this tab; of the named room, unless none is named. */
export function loadTicket(room: string): Ticket | undefined {
  try {
    const { room: known, token } = JSON.parse(sessionStorage.getItem(TICKET) ?? '{}') as Partial<Ticket>;
    return typeof known === 'string' && typeof token === 'string' && (room === '' || room === known) ? { room: known, token } : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a ticket, or forgets it. */
export function saveTicket(ticket: Ticket | undefined): void {
  try {
    if (ticket) sessionStorage.setItem(TICKET, JSON.stringify(ticket));
    else sessionStorage.removeItem(TICKET);
  } catch {
    // Without storage the token is asked for again.
  }
}

/** The room and name that a token carries, for display only: the server is who checks it. */
export function describeToken(token: string): { room: string; name: string } {
  try {
    const payload = token.split('.')[1]?.replace(/-/g, '+').replace(/_/g, '/') ?? '';
    const utf8 = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(utf8)) as { name?: string; sub?: string; video?: { room?: string } };
    return { room: claims.video?.room ?? '', name: claims.name ?? claims.sub ?? '' };
  } catch {
    return { room: '', name: '' };
  }
}

/** An identity that stays for the tab, so that a reload takes the own place over. */
function tabIdentity(name: string): string {
  const slug = name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 24) || 'guest';
  const random = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const fresh = `${slug}-${random.toString(36)}`;
  try {
    const kept = sessionStorage.getItem('madang.identity');
    if (kept?.startsWith(`${slug}-`)) return kept;
    sessionStorage.setItem('madang.identity', fresh);
  } catch {
    // Without storage every visit is a new identity.
  }
  return fresh;
}

/** Asks a development server for a token. Another server than the page's own has to be entered with a token of its. */
export async function devEntry(room: string, name: string, location: Location): Promise<Entry> {
  const foreign = foreignHost(serverUrl(location), location);
  if (foreign) throw new EntryError(`A call at ${foreign} needs a token of that server. Ask your host for a link, or paste a token below.`, true);
  const query = new URLSearchParams({ room, identity: tabIdentity(name), name });
  let response: Response;
  try {
    response = await fetch(`${prefix(location)}/dev/token?${query}`);
  } catch {
    throw new EntryError('The server does not answer. Is it running?');
  }
  if (response.status === 404) {
    throw new EntryError('This server hands out no tokens. Ask your host for a link, or paste a token below.', true);
  }
  if (!response.ok) throw new EntryError(`The server refused a token (${response.status}).`);
  const { token } = (await response.json()) as { token: string; url?: string };
  return { token, url: serverUrl(location) };
}
