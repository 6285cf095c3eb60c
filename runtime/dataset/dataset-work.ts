/** The heavy and dangerous part of registration: parsing a provider's bytes. Where it runs is the caller's choice. */
import type { IngestProgress, IngestRequest, IngestResult } from './worker/ingest-tables.ts';
import type { LayoutRequest, LayoutResult } from './worker/make-layout.ts';

/** Implemented by the jailed ingest worker (ingest-in-worker.ts) and, for tests, in-process (worker/in-process.ts). */
export interface DatasetWork {
  ingest(request: IngestRequest, onProgress: (progress: IngestProgress) => void): Promise<IngestResult>;
  makeLayout(request: LayoutRequest): Promise<LayoutResult>;
}
