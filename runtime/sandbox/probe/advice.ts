/** What to tell an operator whose machine gives less than the full jail. */
import { readFile } from 'node:fs/promises';

const outside = 'run the workers outside the container, or under a virtual machine and declare level `vm`';

/** First words of an error (bubblewrap's, or ours) and what helps. */
const table: readonly { readonly pattern: RegExp; readonly advice: string }[] = [
  {
    pattern: /no bwrap on PATH/,
    advice: 'install bubblewrap (Debian and Ubuntu: `apt-get install bubblewrap`, Fedora: `dnf install bubblewrap`)',
  },
  { pattern: /no prlimit on PATH/, advice: 'install util-linux, which has `prlimit`' },
  {
    pattern: /no system call table/,
    advice: 'run Glovebox on x86_64 Linux, or declare level `vm` where the machine is one',
  },
  {
    pattern: /nesting depth|max_\*_namespaces exceeded|ENOSPC/,
    advice: 'raise `sysctl user.max_user_namespaces`, or leave the outer jail that forbids nested user namespaces',
  },
  {
    pattern: /No permissions to create (a )?new namespace/,
    advice: `set \`sysctl kernel.unprivileged_userns_clone=1\`; in a container, give it a seccomp profile that allows user namespaces, ${outside}`,
  },
  {
    pattern: /setting up uid map: Permission denied/,
    advice: 'load an AppArmor profile for /usr/bin/bwrap that has `userns,`',
  },
  {
    pattern: /Failed to make \/ slave/,
    advice: `start the container with an AppArmor profile that allows mounts, ${outside}`,
  },
  {
    pattern: /Can't find source path .*Permission denied/,
    advice: 'make the staging folder reachable for other users (0711 on every folder above it)',
  },
  {
    pattern: /system call filter does not fit/,
    advice: 'this kernel, libc or node needs a system call that the filter does not know: use the pinned node',
  },
];

/** Returns advice for the failed findings, most specific first; never empty. */
export async function adviceFor(
  findings: readonly { readonly ok: boolean; readonly detail: string }[],
): Promise<readonly string[]> {
  const details = findings.filter(({ ok }) => !ok).map(({ detail }) => detail);
  const known = table
    .filter(({ pattern }) => details.some((detail) => pattern.test(detail)))
    .map(({ advice }) => advice);
  if (known.length > 0) return known;
  return (await kernelAdvice()) ?? [`the jail does not hold on this machine: ${outside}`];
}

/** Cheap looks at the kernel's settings: only for the wording, never for the level. */
async function kernelAdvice(): Promise<readonly string[] | undefined> {
  const setting = (name: string): Promise<string> =>
    readFile(`/proc/sys/${name}`, 'utf8').then(
      (text) => text.trim(),
      () => '',
    );
  if ((await setting('user/max_user_namespaces')) === '0') return ['set `sysctl user.max_user_namespaces=15000`'];
  if ((await setting('kernel/unprivileged_userns_clone')) === '0')
    return ['set `sysctl kernel.unprivileged_userns_clone=1`'];
  if ((await setting('kernel/apparmor_restrict_unprivileged_userns')) === '1')
    return ['load an AppArmor profile for /usr/bin/bwrap that has `userns,`'];
  return undefined;
}
