/** Prints the isolation report of whatever machine, user or outer jail it is started in. */
import { Host } from '../../runtime/sandbox/host.ts';
import { probeIsolation } from '../../runtime/sandbox/probe.ts';
import { root } from './test-pool.ts';

const host = await Host.open({ root });
try {
  process.stdout.write(JSON.stringify(await probeIsolation(host)));
} finally {
  await host.close();
}
