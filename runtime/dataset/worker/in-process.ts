import type { DatasetWork } from '../dataset-work.ts';
import { ingestTables } from './ingest-tables.ts';
import { makeLayout } from './make-layout.ts';

/** Dataset work in this very process: for tests, and for machines where no worker can be started (never for foreign files). */
export const inProcessWork: DatasetWork = { ingest: ingestTables, makeLayout };
