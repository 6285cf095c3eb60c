import { randomBytes } from 'node:crypto';
import type { Entropy } from '../../runtime/release/entropy.ts';

/** The operating system's generator, as the runtime uses it. */
export const SYSTEM_ENTROPY: Entropy = { bytes: (count) => randomBytes(count) };
