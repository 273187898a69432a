/** Line icons on a 24 px grid, drawn in the current text colour. */

const PATHS = {
  mic: 'M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3',
  micOff: 'M9 9v3a3 3 0 0 0 4.6 2.5M15 11V6a3 3 0 0 0-5.8-1M5.5 11.5a6.5 6.5 0 0 0 10 5.4M18.5 11.5a6.4 6.4 0 0 1-.6 2.7M12 18v3M4 4l16 16',
  camera: 'M3.5 7.5a1.5 1.5 0 0 1 1.5-1.5h8.5A1.5 1.5 0 0 1 15 7.5v9a1.5 1.5 0 0 1-1.5 1.5H5a1.5 1.5 0 0 1-1.5-1.5ZM15 10.5l5.5-3v9l-5.5-3',
  cameraOff: 'M7 6h6.5A1.5 1.5 0 0 1 15 7.5V14M14.6 17.5a1.5 1.5 0 0 1-1.1.5H5a1.5 1.5 0 0 1-1.5-1.5v-9c0-.5.2-.9.6-1.2M15 10.5l5.5-3v9l-3-1.6M4 4l16 16',
  screen: 'M4 5h16v11H4ZM9 20h6M12 16v4M12 13V8m0 0-2.3 2.3M12 8l2.3 2.3',
  hand: 'M8 12V6.2a1.4 1.4 0 0 1 2.8 0V11m0-.5V4.4a1.4 1.4 0 0 1 2.8 0V11m0-.5V5.6a1.4 1.4 0 0 1 2.8 0V13m0-2.6a1.4 1.4 0 0 1 2.8 0V15a6 6 0 0 1-6 6h-1.4a6 6 0 0 1-4.7-2.3l-3.6-4.8a1.5 1.5 0 0 1 2.3-1.9L8 13.8',
  chat: 'M4 5h16v11h-8.5L7 20v-4H4ZM8 9h8M8 12.2h5',
  more: 'M5 12.5a.5.5 0 1 0 0-1 .5.5 0 0 0 0 1ZM12 12.5a.5.5 0 1 0 0-1 .5.5 0 0 0 0 1ZM19 12.5a.5.5 0 1 0 0-1 .5.5 0 0 0 0 1Z',
  speaks: 'M4 10.5v3M8 7.5v9M12 4.5v15M16 8.5v7M20 10.5v3',
  leave: 'M3.5 14.5c0-6 17-6 17 0v1.3a1 1 0 0 1-1.2 1l-2.9-.6a1 1 0 0 1-.8-1v-1.7a11 11 0 0 0-7.2 0v1.7a1 1 0 0 1-.8 1l-2.9.6a1 1 0 0 1-1.2-1Z',
  pin: 'M9 4h6l-1 5.5 3 3v1.5H7v-1.5l3-3ZM12 14v6.5',
  close: 'M6 6l12 12M18 6 6 18',
  send: 'M4.5 12 20 4.5 15.5 20l-3.5-6.5ZM12 13.5 20 4.5',
  attach: 'M19 11.5 12.2 18.3a4.2 4.2 0 0 1-6-6l7.4-7.4a2.8 2.8 0 0 1 4 4l-7.2 7.2a1.4 1.4 0 0 1-2-2l6.5-6.5',
  grid: 'M4 4h7v7H4ZM13 4h7v7h-7ZM4 13h7v7H4ZM13 13h7v7h-7Z',
  speaker: 'M4 4h16v10H4ZM4 17h4.5v3H4ZM9.8 17h4.4v3H9.8ZM15.5 17H20v3h-4.5Z',
  stats: 'M4 20V10M9.3 20V4M14.7 20v-7M20 20V8',
  record: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 9.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4ZM9 19.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4Z',
  keyboard: 'M3.5 6.5h17v11h-17ZM7 10h.01M10.3 10h.01M13.7 10h.01M17 10h.01M8 14h8',
  link: 'M10 14a3.6 3.6 0 0 0 5.2 0l3-3a3.7 3.7 0 0 0-5.2-5.2l-1 1M14 10a3.6 3.6 0 0 0-5.2 0l-3 3a3.7 3.7 0 0 0 5.2 5.2l1-1',
  flip: 'M4 9V6.5A1.5 1.5 0 0 1 5.5 5H17m0 0-3-3m3 3-3 3M20 15v2.5a1.5 1.5 0 0 1-1.5 1.5H7m0 0 3 3m-3-3 3-3',
  previous: 'M14.5 5.5 8 12l6.5 6.5',
  next: 'M9.5 5.5 16 12l-6.5 6.5',
  file: 'M6 3.5h8l4 4v13H6ZM14 3.5v4h4',
  help: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM9.8 9.8a2.3 2.3 0 1 1 3.2 2.1c-.7.3-1 .8-1 1.6M12 16.2v.1',
  download: 'M12 4v11m0 0-4-4m4 4 4-4M5 19.5h14',
} as const;

/** The icons' names. */
export type IconName = keyof typeof PATHS;

/** An icon that assistive technology skips: its button carries the name. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', PATHS[name]);
  svg.appendChild(path);
  return svg;
}
