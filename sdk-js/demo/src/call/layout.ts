/** Where tiles go: pure geometry. */

/** A rectangle in CSS pixels. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The space between tiles. */
const GAP = 8;
/** A tile is as wide for its height as a camera's picture, or narrower: then the sides are cut. */
const ASPECT = 16 / 9;
const NARROWEST = 4 / 3;
/** On a phone held upright faces may be taller than wide. */
const NARROWEST_TALL = 4 / 5;
/** A face smaller than this helps nobody: more tiles go to the next page. */
const MIN_WIDTH = 168;
/** As many as the SDK asks pairs of m-lines for. */
const MAX_PER_PAGE = 9;

/** How many tiles a page of this size holds. */
export function tilesPerPage(width: number, height: number): number {
  const columns = Math.max(1, Math.floor((width + GAP) / (MIN_WIDTH + GAP)));
  const rows = Math.max(1, Math.floor((height + GAP) / (MIN_WIDTH / NARROWEST + GAP)));
  return Math.min(MAX_PER_PAGE, columns * rows);
}

/** A grid of `count` tiles, as large as fits, centred, the last row too. */
export function gridLayout(count: number, width: number, height: number): Rect[] {
  if (count === 0) return [];
  let best = { columns: 1, tileWidth: 0, tileHeight: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const size = fit(columns, Math.ceil(count / columns), width, height);
    if (size.tileWidth * size.tileHeight > best.tileWidth * best.tileHeight) best = { columns, ...size };
  }
  const rows = Math.ceil(count / best.columns);
  const top = (height - rows * best.tileHeight - (rows - 1) * GAP) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / best.columns);
    const inRow = row === rows - 1 ? count - row * best.columns : best.columns;
    const left = (width - inRow * best.tileWidth - (inRow - 1) * GAP) / 2;
    return {
      x: left + (index % best.columns) * (best.tileWidth + GAP),
      y: top + row * (best.tileHeight + GAP),
      width: best.tileWidth,
      height: best.tileHeight,
    };
  });
}

/** One large tile and a strip of up to `strip` others, beside it or, where the stage is tall, below it. */
export function speakerLayout(strip: number, width: number, height: number): { main: Rect; strip: Rect[] } {
  if (strip === 0) return { main: { x: 0, y: 0, width, height }, strip: [] };
  const below = width < height * 1.25;
  const size = below ? Math.min(120, height * 0.24) : Math.min(220, width * 0.24);
  if (below) {
    const tileWidth = Math.min(size * ASPECT, (width - GAP * (strip - 1)) / strip);
    const left = (width - strip * tileWidth - (strip - 1) * GAP) / 2;
    return {
      main: { x: 0, y: 0, width, height: height - size - GAP },
      strip: Array.from({ length: strip }, (_, index) => ({ x: left + index * (tileWidth + GAP), y: height - size, width: tileWidth, height: size })),
    };
  }
  const tileHeight = Math.min(size / ASPECT, (height - GAP * (strip - 1)) / strip);
  const top = (height - strip * tileHeight - (strip - 1) * GAP) / 2;
  return {
    main: { x: 0, y: 0, width: width - size - GAP, height },
    strip: Array.from({ length: strip }, (_, index) => ({ x: width - size, y: top + index * (tileHeight + GAP), width: size, height: tileHeight })),
  };
}

/** How many fit beside the large tile without becoming too small to tell apart. */
export function stripCapacity(width: number, height: number): number {
  const below = width < height * 1.25;
  return Math.max(1, Math.min(MAX_PER_PAGE - 1, Math.floor((below ? width : height) / 100)));
}

/** The size of one of `columns` by `rows` tiles. */
function fit(columns: number, rows: number, width: number, height: number): { tileWidth: number; tileHeight: number } {
  const roomWide = Math.max(0, (width - GAP * (columns - 1)) / columns);
  const roomHigh = Math.max(0, (height - GAP * (rows - 1)) / rows);
  const narrowest = width < height ? NARROWEST_TALL : NARROWEST;
  return { tileWidth: Math.min(roomWide, roomHigh * ASPECT), tileHeight: Math.min(roomHigh, roomWide / narrowest) };
}
