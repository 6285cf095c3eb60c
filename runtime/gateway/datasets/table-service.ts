import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConsumerTable, UploadTableRequest, UploadTableResponse } from '../../gen/messages.ts';
import type { TableServiceHandlers } from '../../gen/services.ts';
import { type Caller } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { requireRole } from '../access.ts';
import { type ConsumerTables, TABLE_LIMITS } from './consumer-tables.ts';
import { faultOf } from './dataset-message.ts';
import { type GatewayNeeds, newId } from '../needs.ts';
import type { ConsumerTableBody } from '../records.ts';
import { UploadedFiles } from './uploaded-files.ts';

export interface TableServiceNeeds extends GatewayNeeds {
  readonly uploads: string;
  readonly tables: ConsumerTables;
}

/** A consumer's own tables: every call speaks of the caller's alone. */
export function tableService(needs: TableServiceNeeds): TableServiceHandlers {
  const role = (caller: Caller): void => requireRole(caller, 'bring tables', 'consumer');
  return {
    upload: (caller, request, call) => upload(needs, caller, request, call.signal),
    list: (caller) => {
      role(caller);
      return Promise.resolve({
        tables: needs.tables.list(caller.party).map(messageOf),
        quotaBytes: BigInt(TABLE_LIMITS.maxStoredBytes),
        quotaTables: TABLE_LIMITS.maxTables,
      });
    },
    remove: async (caller, { name }) => {
      role(caller);
      if (!(await needs.tables.remove(caller.party, name)))
        throw new Fault('not-found', `you have no table \`${name.slice(0, 63)}\``);
      return {};
    },
  };
}

async function* upload(
  needs: TableServiceNeeds,
  caller: Caller,
  request: AsyncIterable<UploadTableRequest>,
  signal: AbortSignal,
): AsyncGenerator<UploadTableResponse, void, void> {
  requireRole(caller, 'bring tables', 'consumer');
  const release = needs.tables.occupy(caller.party);
  const folder = join(needs.uploads, newId(needs, 'table'));
  const spool = new UploadedFiles(folder, { bytes: TABLE_LIMITS.maxUploadBytes, files: 1 });
  let days = 0;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for await (const { part } of request) {
      signal.throwIfAborted();
      if (part?.kind === 'header') {
        ({ days } = part.header);
        const { name } = part.header;
        await spool.take({ kind: 'header', header: { name, description: '', grade: 'unspecified' } });
      } else await spool.take(part);
    }
    const { header, sources } = spool.finish();
    const [source] = sources;
    if (source === undefined) throw new Fault('argument-not-valid', 'the upload holds no file');
    const record = await needs.tables.upload(caller.party, { name: header.name, days, source });
    yield { table: messageOf(record) };
  } catch (error) {
    throw faultOf(error);
  } finally {
    release();
    await spool.abandon();
    await rm(folder, { recursive: true, force: true });
  }
}

function messageOf({ body }: StoredRecord<ConsumerTableBody>): ConsumerTable {
  return {
    name: body.name,
    columns: body.columns,
    rowCount: BigInt(body.rows),
    bytes: BigInt(body.bytes),
    digest: `sha256:${body.digest}`,
    uploadedAtMs: body.uploadedAtMs,
    expiresAtMs: body.expiresAtMs,
  };
}
