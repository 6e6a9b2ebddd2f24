/** How long to wait before trying again. */

/** Half of `ms` to all of it: so that a restarted server is not met by everybody at once. */
export const jittered = (ms) => ms * (0.5 + Math.random() / 2);

/** The `failures`-th delay of a row that doubles from `first` up to `longest` (ms), jittered. */
export const backOff = (failures, { first, longest }) => jittered(Math.min(longest, first * 2 ** failures));
