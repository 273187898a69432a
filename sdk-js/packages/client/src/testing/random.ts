/** Numbers that a seed repeats: a linear congruential generator (Knuth's MMIX constants would need BigInt; these are Numerical Recipes'). */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
