/** What a real server answers over HTTP where it refuses a WebSocket: recorded by `sfu-signal/tests/api/refusals.rs`. */
import recorded from '../../../../../sfu-signal/tests/golden/http_refusals.json?raw';

interface Refusal {
  status: number;
  body: { code: string; message: string; retryable: boolean };
}

export const REFUSALS = JSON.parse(recorded) as Record<string, Refusal>;

/** The recorded answer with this code. */
export function refusal(code: string): Response {
  const found = REFUSALS[code];
  if (!found) throw new Error(`the server never answered ${code}`);
  return Response.json(found.body, { status: found.status });
}
