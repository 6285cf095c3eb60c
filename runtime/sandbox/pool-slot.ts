import type { FileHandle } from 'node:fs/promises';
import type { Host } from './host.ts';
import type { SandboxImage } from './image.ts';
import { isAtLeast } from './manifest.ts';
import type { LeaseRequest } from './pool-options.ts';
import type { IsolationReport } from './probe.ts';
import { PoolRefusal, weakIsolation } from './refusal.ts';
import { identityOf, type Mount, type StagedMounts } from './stage.ts';
import type { WorkerProcess } from './worker-process.ts';

/** Image, tier and mounts that make workers interchangeable, and the workers that fit. */
export interface Slot {
  readonly key: string;
  readonly image: SandboxImage;
  readonly tier: string;
  readonly mounts: Promise<StagedMounts>;
  readonly idle: PooledWorker[];
  starting: number;
  /** workers of this slot that exist or are being started */
  alive: number;
  /** ready workers to keep; 0 once it is no longer in use */
  warm: number;
  /** callers that hold the slot and are not in the line yet */
  pins: number;
  /** while it runs, no worker is started that nobody waits for */
  rest: NodeJS.Timeout | undefined;
}

/** A worker that the pool keeps, and how many jobs it had. */
export interface PooledWorker {
  readonly slot: Slot;
  readonly process: WorkerProcess;
  readonly scratch: FileHandle | undefined;
  readonly pathOf: (guestPath: string) => string;
  jobs: number;
  party: string | undefined;
}

/** What makes the workers that a request can use the same. */
export interface SlotIdentity {
  readonly key: string;
  readonly image: SandboxImage;
  readonly tier: string;
  readonly mounts: readonly Mount[];
}

/**
 * What a request asks for, checked: the image is intact, the tier is one of its tiers, and this machine isolates as well
 * as image and request demand. Rejects with PoolRefusal UNKNOWN_TIER or WEAK_ISOLATION.
 */
export async function slotIdentity(
  host: Host,
  isolation: IsolationReport,
  request: LeaseRequest,
): Promise<SlotIdentity> {
  const image = await host.image(request.kind);
  const tier = request.tier ?? image.manifest.defaultTier;
  if (image.manifest.tiers[tier] === undefined) {
    const known = Object.keys(image.manifest.tiers).join(', ');
    throw new PoolRefusal('UNKNOWN_TIER', `image \`${request.kind}\` has no tier \`${tier}\`; it has ${known}`);
  }
  const floor = image.manifest.minimumIsolation;
  const demanded = request.isolation !== undefined && isAtLeast(request.isolation, floor) ? request.isolation : floor;
  if (!isAtLeast(isolation.level, demanded)) throw weakIsolation(isolation, demanded, request.kind);
  const mounts = (request.mounts ?? []).toSorted((a, b) => (a.guestPath < b.guestPath ? -1 : 1));
  const named = mounts.map(({ hostPath, guestPath }) => [guestPath, hostPath, identityOf(hostPath)]);
  return { key: JSON.stringify([image.digest, tier, named]), image, tier, mounts };
}

/** A slot without workers, which is not kept warm yet. */
export function emptySlot({ key, image, tier, mounts }: SlotIdentity, host: Host): Slot {
  const staged = host.mounts(mounts);
  return { key, image, tier, mounts: staged, idle: [], starting: 0, alive: 0, warm: 0, pins: 0, rest: undefined };
}

/** Whether a job in this slot holds its worker while it waits for another one. */
export function needsSecond({ image }: Slot): boolean {
  return (image.manifest.workersPerJob ?? 1) > 1;
}

/** Whether a clean worker of this slot serves another job. */
export function isReusable({ image }: Slot): boolean {
  return image.manifest.jobsPerWorker > 1;
}

/** Without namespaces nothing is bound: the worker uses the staged files where they are. */
export function hostPathOf(guestPath: string, binds: StagedMounts['binds']): string {
  const bind = binds.find(({ to }) => guestPath === to || guestPath.startsWith(`${to}/`));
  if (bind === undefined) throw new Error(`\`${guestPath}\` is not mounted`);
  return bind.from + guestPath.slice(bind.to.length);
}
