import { buildLayout, type LayoutNeeds } from '../../dataset/layout.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';
import type { GatewayNeeds } from '../needs.ts';
import { type AgreementBody, type DatasetBody, type PolicyBody, policyOf } from '../records.ts';
import { guestPathOf, layoutSpecFor } from './sql-engine.ts';

/** Layouts over which a worker is started with the runtime. */
const WARM_LAYOUTS = 4;

interface WarmWorkerNeeds extends Pick<GatewayNeeds, 'store' | 'log'> {
  readonly pool: WorkerPool;
  readonly layout: LayoutNeeds;
  readonly manifestOf: (dataset: string, version: number) => Promise<DatasetManifest>;
}

/** Starts workers before the first job asks for one. What fails is logged, and shows when a job asks. */
export class WarmWorkers {
  readonly #needs: WarmWorkerNeeds;

  constructor(needs: WarmWorkerNeeds) {
    this.#needs = needs;
  }

  /** One over this layout. */
  over(layoutPath: string): void {
    this.#start({ kind: 'sql', mounts: [{ hostPath: layoutPath, guestPath: guestPathOf('d0') }] });
  }

  /** A parser, and what the first active agreements need. */
  begin(): void {
    this.#beginAll().catch((cause: unknown) => this.#failed(cause));
  }

  async #beginAll(): Promise<void> {
    const { pool, store, layout, manifestOf } = this.#needs;
    await pool.prewarm({ kind: 'parser' }, 1);
    const pinned = store
      .peekAll<AgreementBody>('agreement')
      .filter(({ state }) => state === 'active')
      .map(({ body }) => `${body.dataset}@${body.policyVersion}`);
    for (const id of [...new Set(pinned)].slice(0, WARM_LAYOUTS)) {
      const record = store.peek<PolicyBody>('policy', id);
      const dataset = record === undefined ? undefined : store.peek<DatasetBody>('dataset', record.body.dataset);
      if (record === undefined || dataset === undefined || dataset.body.encrypted !== undefined) continue;
      const manifest = await manifestOf(dataset.id, dataset.body.version);
      const policy = policyOf(record.body);
      if (policy.allow.some(({ mode }) => mode === 'sandbox' || mode === 'approvedCode'))
        this.#start({ kind: 'javascript' });
      this.over((await buildLayout(layout, manifest, layoutSpecFor(manifest, policy))).path);
    }
  }

  #start(request: Parameters<WorkerPool['prewarm']>[0]): void {
    this.#needs.pool.prewarm(request, 1).catch((cause: unknown) => this.#failed(cause));
  }

  #failed(cause: unknown): void {
    this.#needs.log({ level: 'warn', event: 'prewarm.failed', cause });
  }
}
