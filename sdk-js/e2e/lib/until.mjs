// Waiting for a condition with a deadline. Tests never sleep for a length of time and hope.

/** Polls `condition` until it gives something true and returns that; throws with `what` at the deadline. */
export async function until(condition, { within = 10_000, every = 50, what = 'a condition' } = {}) {
  const deadline = Date.now() + within;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) {
      throw new Error(`waited ${within} ms for ${typeof what === 'function' ? await what() : what}`);
    }
    await new Promise((done) => setTimeout(done, every));
  }
}

/** Polls `condition` for `milliseconds` and throws with `what` as soon as it does not hold. */
export async function throughout(milliseconds, condition, { every = 100, what = 'a condition' } = {}) {
  const startedAt = Date.now();
  while (Date.now() - startedAt < milliseconds) {
    if (!(await condition())) throw new Error(`after ${Date.now() - startedAt} ms it no longer holds: ${typeof what === 'function' ? await what() : what}`);
    await new Promise((done) => setTimeout(done, every));
  }
}
