import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

/** Assembles `linear.wat` into WebAssembly bytes; the committed `binary.ts` holds exactly this output. */
export async function assembleKernels(): Promise<Uint8Array> {
  const assembler = await wabt();
  const source = readFileSync(new URL('linear.wat', import.meta.url), 'utf8');
  const module = assembler.parseWat('linear.wat', source, { simd: true });
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/** The text of `binary.ts` for the given WebAssembly bytes. */
export function binaryModuleText(bytes: Uint8Array): string {
  return [
    '// Assembled from linear.wat by `node runtime/homomorphic/kernels/build.ts`; a test rebuilds and compares.',
    '/** The linear kernels as WebAssembly bytes, base64. */',
    'export const KERNEL_BINARY_BASE64 =',
    `  '${Buffer.from(bytes).toString('base64')}';`,
    '',
  ].join('\n');
}

if (import.meta.main) {
  writeFileSync(new URL('binary.ts', import.meta.url), binaryModuleText(await assembleKernels()));
}
