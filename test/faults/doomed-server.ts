// A server as `serve` runs it, except that the process dies (SIGKILL) when a job reaches the point that its parent has
// named in a message. The points are put in from outside; the runtime knows nothing of them.
import { pino } from 'pino';
import { JobQueue } from '../../runtime/gateway/live-jobs.ts';
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
  const answer = commitRelease.call(this, input);
  pass('commit');
  return await answer;
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
