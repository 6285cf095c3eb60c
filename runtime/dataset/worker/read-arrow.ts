import type { DuckDBConnection } from '@duckdb/node-api';
import { DatasetError } from '../dataset-error.ts';
import type { SourceFile } from '../source.ts';
import type { SourceRelation } from './source-relation.ts';

export async function arrowRelation(
  _c: DuckDBConnection,
  source: SourceFile,
  _t: string,
  _f: string,
): Promise<SourceRelation> {
  throw new DatasetError('invalid-file', `${source.label}: arrow files cannot be read yet`);
}
