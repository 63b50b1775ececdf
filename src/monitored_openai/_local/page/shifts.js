// Moves a time range within the history.

const KEPT = 32 * 86_400 - 2 * 3600; // seconds until now; the history has hourly slots for 32 days

// Return the ranges before, after and around one of {from, to}, in seconds; each is null if the history has no more.
export function shifts({ from, to }, now) {
  const length = to - from;
  const [first, last] = [Math.ceil(now - KEPT), Math.ceil(now)];
  const start = Math.max(from - length, first);
  const end = Math.min(to + length, last);
  const around = Math.min(to + Math.ceil(length / 2), last);
  const wider = { from: Math.max(around - 2 * length, first), to: around };
  return {
    earlier: from > first ? { from: start, to: start + length } : null,
    later: to < now ? { from: end - length, to: end } : null,
    wider: wider.from < from ? wider : null,
  };
}
