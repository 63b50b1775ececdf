// Moves a time range within the history.

const HOUR = 3600; // length of the history's slots that it keeps longest
const KEPT = 32 * 86_400; // seconds for which it keeps them
const FEWEST_STEPS = 32; // of a range; the server rounds the start down to a step

// Return the first second at which a range of this length can start.
const first = (length, now) => Math.ceil(now - KEPT + 2 * HOUR + Math.max(HOUR, length / FEWEST_STEPS));

// Return the ranges before, after and around one of {from, to}, in seconds; each is null if the history has no more.
export function shifts({ from, to }, now) {
  const length = to - from;
  const last = Math.ceil(now);
  const start = Math.max(from - length, first(length, now));
  const end = Math.min(to + length, last);
  const around = Math.min(to + Math.ceil(length / 2), last);
  const wider = { from: Math.max(around - 2 * length, first(2 * length, now)), to: around };
  return {
    earlier: start < from ? { from: start, to: start + length } : null,
    later: to < now ? { from: end - length, to: end } : null,
    wider: wider.from < from ? wider : null,
  };
}
