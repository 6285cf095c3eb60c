import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { FAULTS } from '../runtime/rpc/status.ts';
import { outputOf, ROOT } from './end-to-end/runtime.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const README = read('README.md');
const ERRORS = read('docs/errors.md');

describe('documents', () => {
  it('every fault code is described, with the gRPC status it has', () => {
    for (const code of Object.keys(FAULTS)) assert.match(ERRORS, new RegExp(`^\\| \`${code}\` \\|`, 'm'), code);
  });

  it('every reason code that the runtime can give is described', () => {
    const isDescribed = (code: string): boolean => ERRORS.includes(`\`${code}\``) || ERRORS.includes(`### ${code}\n`);
    const missing = [...codesInUse()].filter(([code]) => !isDescribed(code));
    assert.deepEqual(missing, []);
  });

  it('no described code is unknown to the runtime', () => {
    const all = sources()
      .map(({ text }) => text)
      .join('\n');
    const described = [...ERRORS.matchAll(/^\| ((?:`[a-z-]+`(?:, )?)+) \|/gm)].flatMap(([, codes = '']) =>
      [...codes.matchAll(/`([a-z-]+)`/g)].map(([, code = '']) => code),
    );
    assert.ok(described.length > 100);
    assert.deepEqual(
      described.filter((code) => !all.includes(`'${code}'`) && !(code in FAULTS)),
      [],
    );
  });

  it('every link to a file of the project leads somewhere', () => {
    const broken = globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md'], { cwd: ROOT }).flatMap((file) =>
      [...read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map(([, target = '']) => join(dirname(file), target))
        .filter((target) => !existsSync(join(ROOT, target)))
        .map((target) => `${file} → ${target}`),
    );
    assert.deepEqual(broken, []);
  });

  it('the program in the README is the example file, word for word', () => {
    const [, program] = /```ts\n([\s\S]*?)```/.exec(README) ?? [];
    assert.equal(program, read('examples/client/ask.ts'));
  });
});

// The tour's blocks run as they stand, in a shell, against the launcher; only HOME is another one.
describe('the five-minute tour', () => {
  it('works word for word, and the program of the README answers', { timeout: 240_000 }, async () => {
    const [serve = '', ...others] = toursBlocks();
    const home = mkdtempSync(join(tmpdir(), 'glovebox-tour-'));
    const env = { ...process.env, HOME: home, GLOVEBOX_NO_INSTALL: '1' };
    const server = spawn('bash', ['-c', serve.replace('./glovebox serve', 'exec ./glovebox serve')], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      for await (const chunk of server.stdout) if (String(chunk).includes('operator credential')) break;
      const lines = others.join('').split('\n');
      const script = lines.flatMap((line) => (line.startsWith('./glovebox') ? [line, 'echo "exit $?"'] : [line]));
      const ask = `node examples/client/ask.ts $GLOVEBOX_CREDENTIAL`;
      const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
      const { stdout, stderr } = await outputOf(
        spawn('bash', ['-c', [...script, ask, 'echo "exit $?"'].join('\n')], {
          cwd: ROOT,
          env: { ...env, PATH: path },
          stdio: ['ignore', 'pipe', 'pipe'],
        }),
      );
      const expected = lines
        .filter((line) => line.startsWith('./glovebox'))
        .map((line) => (line.includes('# refused') ? 'exit 1' : 'exit 0'));
      assert.deepEqual(stdout.match(/^exit \d+$/gm), [...expected, 'exit 0'], `${stdout}\n${stderr}`);
      assert.match(stdout, /^Lev\+5FU +304 +1711\.68/m);
      assert.match(stdout, /^valid: entry \d+ of a log of \d+ entries/m);
      assert.match(stdout, /"rx":"Lev\+5FU","patients":304/);
      assert.match(stdout, /^risk at the mean +0\.40855/m);
      assert.match(stdout, /^mean +Lev\+5FU +1711\.68/m);
    } finally {
      const gone = once(server, 'exit');
      server.kill('SIGTERM');
      await gone;
      rmSync(home, { recursive: true, force: true });
    }
  });
});

/** The shell blocks between the tour's heading and the next. */
function toursBlocks(): readonly string[] {
  const [, tour = ''] = /## Five-minute tour\n([\s\S]*?)\n## /.exec(README) ?? [];
  return [...tour.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block);
}

function sources(): readonly { readonly file: string; readonly text: string }[] {
  return globSync('runtime/**/*.ts', { cwd: ROOT, exclude: ['runtime/gen/**'] }).map((file) => ({
    file,
    text: read(file),
  }));
}

/** Codes that stand as the first argument of whatever makes a reason or a fault. Workers' own codes stay inside. */
function codesInUse(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const makers =
    /\b(?:refuse|reason|fault|fail|codes\.push|Refusal|Fault|StoreFault|DatasetError|HomomorphicFault)\(\s*'([a-z][a-z0-9-]+)'/g;
  for (const { file, text } of sources()) {
    if (file.includes('dataset/worker/')) continue;
    for (const [, code = ''] of text.matchAll(makers)) found.set(code, file);
  }
  assert.ok(found.size > 100, 'the search for codes finds them');
  return found;
}
