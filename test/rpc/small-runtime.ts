import { identify } from '../../runtime/identity/admission.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import type { Admission, PartyRecord, PartyRole } from '../../runtime/identity/party.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { denied, reason } from '../../runtime/policy/reason.ts';
import type { Schema } from '../../runtime/release/columns.ts';
import { batchFromRows } from '../../runtime/release/column-values.ts';
import type { Application } from '../../runtime/rpc/application.ts';
import {
  createAuthority,
  issueCredential,
  issueServerCertificate,
  type Authority,
} from '../../runtime/rpc/authority.ts';
import type { RpcLog } from '../../runtime/rpc/error-detail.ts';
import { Fault } from '../../runtime/rpc/fault.ts';
import { batchFrames, schemaFrame } from '../../runtime/rpc/flight-framing.ts';
import type { RpcLimits } from '../../runtime/rpc/limits.ts';
import { resultColumns } from '../../runtime/rpc/result-columns.ts';
import { RpcServer } from '../../runtime/rpc/server.ts';

/** A real server over mTLS with a small application in memory behind it. */
export interface SmallRuntime {
  readonly server: RpcServer;
  readonly authority: Authority;
  readonly address: string;
  readonly logged: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[];
  /** What the application was asked, in order. */
  readonly asked: string[];
  readonly application: Application & { openRelease: Application['openRelease'] };
  addParty(name: string, roles?: readonly PartyRole[], days?: number): Promise<CredentialBundle>;
  setAdmission(name: string, admission: Admission): void;
  close(): void;
}

export const SCHEMA: Schema = [
  { name: 'ward', nullable: true, type: { kind: 'utf8' } },
  { name: 'patients', nullable: false, type: { kind: 'int64' } },
];

export const EMPTY_JOB: Job = {
  id: 'job-1',
  state: 'queued',
  consumer: 'acme',
  datasets: [],
  agreementIds: [],
  ruleId: '',
  mode: 'aggregate',
  purpose: '',
  submittedAtMs: 1_700_000_000_000,
  endedAtMs: null,
  reasons: [],
  withheld: null,
  receipt: null,
  meter: null,
  budget: [],
  isolation: 'namespaced',
  guarantee: '',
  ticket: null,
  ticketExpiresAtMs: null,
  columns: [],
  rowCount: null,
  resultBytes: null,
  progress: null,
  computationDigest: '',
  imageDigest: '',
  errors: [],
  disputes: [],
  submittedBy: '',
  resultDigest: '',
  resultSalt: new Uint8Array(),
};

export const RELEASED_JOB: Job = {
  ...EMPTY_JOB,
  state: 'released',
  ticket: Buffer.from('ticket-1'),
  columns: resultColumns(SCHEMA),
  rowCount: 2n,
};

export async function startSmallRuntime(
  options: {
    readonly limits?: Partial<RpcLimits>;
    readonly insecure?: boolean;
    readonly override?: Partial<Application>;
    readonly now?: () => number;
  } = {},
): Promise<SmallRuntime> {
  const authority = await createAuthority(Date.now());
  const certificate = await issueServerCertificate(authority, { hosts: [], nowMs: Date.now() });
  const parties = new Map<string, PartyRecord>();
  const logged: { message: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const asked: string[] = [];
  const log: RpcLog = {
    warn: (fields, message) => void logged.push({ fields, message }),
    error: (fields, message) => void logged.push({ fields, message }),
  };
  const application: Application = {
    identify: (credential) => {
      const party = [...parties.values()].find(({ fingerprints }) => fingerprints.includes(credential.fingerprint));
      return identify(party ?? null, credential, Date.now());
    },
    insecureCaller: null,
    jobs: {
      submit: (caller, request, call) => {
        asked.push(`submit ${caller.party} ${call.signedRequest === null ? 'unsigned' : 'signed'}`);
        const { computation } = request.job ?? {};
        if (computation?.kind === 'sql' && computation.sql.text.includes('secret')) {
          const why = reason('column-not-granted', 'column `secret` is not granted', { at: { line: 1, column: 8 } });
          return Promise.resolve({
            job: { ...EMPTY_JOB, state: 'denied', reasons: [why] },
            wasKnown: false,
            result: [],
          });
        }
        return Promise.resolve({
          job: request.wait ? RELEASED_JOB : { ...EMPTY_JOB, consumer: caller.party },
          wasKnown: false,
          result: [],
        });
      },
      get: (_caller, { id }) =>
        id === 'job-1'
          ? Promise.resolve({ job: RELEASED_JOB })
          : Promise.reject(new Fault('not-found', `there is no job \`${id}\``)),
      async *watch() {
        yield { job: { ...EMPTY_JOB, state: 'running', progress: { stage: 'run', done: 1, total: 2 } } };
        yield { job: RELEASED_JOB };
      },
      list: () => Promise.reject(new Error('disk at /var/lib/glovebox/state.db is full: row 17 = Alice')),
      cancel: () => Promise.resolve(denied(reason('wrong-state', 'the job has ended'))),
      explain: () =>
        Promise.resolve({
          wouldRun: true,
          enforcedSql: '',
          origins: [],
          clauseOrigins: [],
          repairs: [],
          forecast: null,
          reasons: [],
          rules: ['at least 10 patients behind every cell'],
          enforced: [],
          guarantee: '',
          errors: [],
          suppression: '',
          budget: [],
          priceMicros: null,
          currency: '',
          repaired: '',
          ruleId: 'statistics',
          mode: 'aggregate',
          columns: resultColumns(SCHEMA),
          diagnostics: [],
          isolation: 'namespaced',
          datasets: ['hospital/visits@1'],
          queryShape: null,
        }),
    },
    catalogue: {
      async *registerDataset(_caller, requests) {
        let bytes = 0n;
        for await (const { part } of requests) {
          if (part?.kind === 'chunk') {
            bytes += BigInt(part.chunk.length);
            yield {
              event: { kind: 'progress', progress: { step: 'receiving', done: bytes, total: 0n, subject: '' } },
              reasons: [],
            };
          }
          if (part?.kind === 'end') {
            const why = reason('file-damaged', `received ${bytes} bytes and they are damaged`);
            yield { event: null, reasons: [why] };
            return;
          }
        }
      },
    },
    policies: {},
    agreements: { offer: () => Promise.resolve(denied(reason('policy-unknown', 'there is no policy version 7'))) },
    parties: {
      whoAmI: (caller) =>
        Promise.resolve({
          party: {
            name: caller.party,
            roles: caller.roles,
            state: 'admitted',
            spiffeId: '',
            credentialFingerprint: caller.credentialFingerprint,
            credentialExpiresAtMs: 0,
            signingPublicKey: caller.signingPublicKey ?? '',
            jurisdiction: '',
            admittedAtMs: 0,
            note: '',
            groups: [],
            authority: '',
          },
          authority: authority.name,
          runtimeVersion: '0.0.0',
          isolation: 'namespaced',
          isInsecure: caller.isInsecureLoopback,
        }),
    },
    evidence: {},
    budgets: {},
    meters: {},
    images: {},
    code: {},
    tables: {},
    homomorphic: {},
    operator: {},
    async *openRelease(caller, ticket) {
      asked.push(`openRelease ${caller.party}`);
      if (Buffer.from(ticket).toString() !== 'ticket-1') throw new Fault('ticket-not-valid', 'the ticket is not valid');
      yield schemaFrame(SCHEMA);
      const rows = [
        ['surgery', 12n],
        [null, 34n],
      ];
      yield* batchFrames(SCHEMA, batchFromRows(SCHEMA, rows));
    },
    ...options.override,
  };
  const server = await RpcServer.start({
    application,
    host: '127.0.0.1',
    port: 0,
    tls: options.insecure === true ? null : { ca: authority.certificate, ...certificate },
    limits: { ...options.limits },
    log,
    ...(options.now === undefined ? {} : { now: options.now }),
  });
  const address = `127.0.0.1:${server.port}`;
  return {
    server,
    authority,
    address,
    logged,
    asked,
    application,
    addParty: async (name, roles = ['consumer'], days = 365) => {
      const nowMs = days < 0 ? Date.now() + days * 2 * 86_400_000 : Date.now();
      const issued = await issueCredential(authority, {
        party: name,
        roles,
        server: address,
        nowMs,
        days: Math.abs(days),
      });
      parties.set(name, {
        name,
        roles,
        admission: 'admitted',
        spiffeId: issued.spiffeId,
        fingerprints: [issued.fingerprint],
        signingPublicKey: issued.bundle.signingPublicKey,
        jurisdiction: null,
        note: null,
      });
      return issued.bundle;
    },
    setAdmission: (name, admission) => {
      const party = parties.get(name);
      if (party !== undefined) parties.set(name, { ...party, admission });
    },
    close: () => server.close(),
  };
}
