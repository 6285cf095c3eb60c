// A server as `serve` runs it, except that the process dies (SIGKILL) when a job reaches the point that its parent has
// named in a message. The points are put in from outside; the runtime knows nothing of them.
import { pino } from 'pino';
import { JobQueue } from '../../runtime/gateway/jobs/live-jobs.ts';
import { Results } from '../../runtime/gateway/results/results.ts';
import { ResultFileWriter } from '../../runtime/gateway/results/result-writer.ts';
import { startServer } from '../../runtime/cli/start-server.ts';
import { Store } from '../../runtime/store/store.ts';

const [, , dataDirectory = ''] = process.argv;
let doom: unknown = '';
process.on('message', (point) => {
  doom = point;
  process.send?.('armed');
});
const pass = (point: string): void => {
  if (point === doom) process.kill(process.pid, 'SIGKILL');
};

const add = Reflect.get(JobQueue.prototype, 'add') as JobQueue['add'];
JobQueue.prototype.add = function (job, scope, run, deadlineMs) {
  const watched: typeof run = async (one, { signal, report }) => {
    const outcome = await run(one, {
      signal,
      report: (stage) => {
        pass(stage);
        report(stage);
      },
    });
    pass('answer');
    return outcome;
  };
  return add.call(this, job, scope, watched, deadlineMs);
};
const commitRelease = Reflect.get(Store.prototype, 'commitRelease') as Store['commitRelease'];
const redeemTicket = Reflect.get(Store.prototype, 'redeemTicket') as Store['redeemTicket'];
Store.prototype.commitRelease = async function (input) {
  const answering = commitRelease.call(this, input);
  pass('commit');
  const answer = await answering;
  pass('committed');
  return answer;
};
const hold = Reflect.get(Store.prototype, 'hold') as Store['hold'];
Store.prototype.hold = async function (input) {
  const answer = await hold.call(this, input);
  pass('held');
  // The first to hear of it: the worker may be starting, or its answer may be waiting.
  return { ...answer, durable: answer.durable.then(() => pass('debited')) };
};
const finish = Reflect.get(ResultFileWriter.prototype, 'finish') as ResultFileWriter['finish'];
const settle = Reflect.get(ResultFileWriter.prototype, 'settle') as ResultFileWriter['settle'];
ResultFileWriter.prototype.finish = async function () {
  const written = await finish.call(this);
  pass('written');
  return written;
};
ResultFileWriter.prototype.settle = async function () {
  await settle.call(this);
  pass('settled');
};
const take = Reflect.get(Results.prototype, 'take') as Results['take'];
const copy = Reflect.get(Results.prototype, 'copy') as Results['copy'];
Results.prototype.take = function (jobId) {
  const frames = take.call(this, jobId);
  if (frames !== null) pass('taken');
  return frames;
};
Results.prototype.copy = async function (from, to, recorded) {
  await copy.call(this, from, to, recorded);
  pass('copied');
};
Store.prototype.redeemTicket = async function (input) {
  pass('redeem');
  const answer = await redeemTicket.call(this, input);
  pass('redeemed');
  return answer;
};

await using closing = new AsyncDisposableStack();
const { address } = await startServer(
  { dataDirectory, host: '127.0.0.1', port: 0, log: pino({ level: 'warn' }, pino.destination(2)) },
  closing,
);
process.stdout.write(`${address}\n`);
await new Promise((resolve) => void process.once('SIGTERM', resolve));
process.disconnect();
