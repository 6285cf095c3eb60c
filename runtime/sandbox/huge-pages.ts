/**
 * What the C library wants to know before it asks the kernel for huge pages (glibc's tunable `glibc.malloc.hugetlb=1`): with
 * them a hundred megabytes of columns are 50 pages to take and to give back instead of 25,000. In a jail there is no `/sys`. A
 * worker that has big buffers gets copies of these two files, and nothing of the host's own `/sys` is mounted.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const folder = '/sys/kernel/mm/transparent_hugepage';

/** The files by their name: what each may say, and no more than that is passed on. */
const files = { enabled: /^[[\]a-z ]{1,40}\n?$/, hpage_pmd_size: /^\d{1,12}\n?$/ } as const;

/** Environment of a worker that has the files. */
export const hugePageEnvironment = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' } as const;

export interface HugePageFile {
  readonly name: string;
  readonly guestPath: string;
  readonly text: string;
}

/** Returns both files of this machine, or none where it has no huge pages to ask for. */
export async function hugePageFiles(from: string = folder): Promise<readonly HugePageFile[]> {
  const found: HugePageFile[] = [];
  for (const [name, shape] of Object.entries(files)) {
    const text = await readFile(join(from, name), 'latin1').catch(() => '');
    if (!shape.test(text)) return [];
    found.push({ name, guestPath: `${folder}/${name}`, text });
  }
  return found;
}
