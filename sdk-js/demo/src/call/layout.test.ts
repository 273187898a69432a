import { describe, expect, it } from 'vitest';

import { gridLayout, speakerLayout, stripCapacity, tilesPerPage, type Rect } from './layout';

const STAGES = [
  [344, 600],
  [344, 250],
  [740, 280],
  [1080, 800],
  [1420, 770],
  [2540, 1300],
] as const;

/** Whether two rectangles share more than a rounding error. */
function overlap(a: Rect, b: Rect): boolean {
  const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const high = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return wide > 0.5 && high > 0.5;
}

function expectSound(rects: Rect[], width: number, height: number): void {
  for (const [index, rect] of rects.entries()) {
    expect(rect.width).toBeGreaterThan(20);
    expect(rect.height).toBeGreaterThan(20);
    expect(rect.x).toBeGreaterThanOrEqual(-0.5);
    expect(rect.y).toBeGreaterThanOrEqual(-0.5);
    expect(rect.x + rect.width).toBeLessThanOrEqual(width + 0.5);
    expect(rect.y + rect.height).toBeLessThanOrEqual(height + 0.5);
    for (const other of rects.slice(index + 1)) expect(overlap(rect, other)).toBe(false);
  }
}

describe.each(STAGES)('a stage of %i by %i', (width, height) => {
  it('holds a full page of the grid without overlap', () => {
    for (let count = 1; count <= tilesPerPage(width, height); count++) {
      const rects = gridLayout(count, width, height);
      expect(rects).toHaveLength(count);
      expectSound(rects, width, height);
    }
  });

  it('holds the speaker and a full strip without overlap', () => {
    for (let count = 0; count <= stripCapacity(width, height); count++) {
      const { main, strip } = speakerLayout(count, width, height);
      expect(strip).toHaveLength(count);
      expectSound([main, ...strip], width, height);
      for (const rect of strip) expect(rect.width * rect.height).toBeLessThan(main.width * main.height);
    }
  });
});

it('a grid of nobody is empty', () => {
  expect(gridLayout(0, 800, 600)).toEqual([]);
});
