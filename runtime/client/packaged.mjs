// `import { connect } from 'glovebox/client'`. Plain JavaScript, because Node.js runs no TypeScript below node_modules and
// the package brings its dependencies by itself: the launcher says where everything was unpacked to (once), and the
// client that the command line uses is loaded from there.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { features, env, version } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

if (!features.typescript) throw new Error(`glovebox/client needs Node.js 24 or newer; this is ${version}`);

const installed = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const client = pathToFileURL(join(homeOf(installed), 'runtime', 'client/')).href;
const { connect } = await import(`${client}connect.ts`);
const { GloveboxError } = await import(`${client}error.ts`);
export { connect, GloveboxError };

/** Where the project lies whole: here in a checkout, unpacked elsewhere by the launcher in an installed package. */
function homeOf(folder) {
  if (!existsSync(join(folder, 'packed', 'digest'))) return folder;
  return execFileSync(join(folder, 'glovebox'), [], {
    env: { ...env, GLOVEBOX_PACKAGES_ONLY: 'home' },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  }).trim();
}
