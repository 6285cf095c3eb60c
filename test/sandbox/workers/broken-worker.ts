/** A worker that never gets to its first frame. */
throw new Error('broken on purpose');
export {};
