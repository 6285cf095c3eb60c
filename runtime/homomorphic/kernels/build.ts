import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';
import { encryptionKernelText } from './encrypt-wat.ts';

/** Assembles `linear.wat` into WebAssembly bytes; the committed `binary.ts` holds exactly this output. */
export async function assembleKernels(): Promise<Uint8Array> {
  return await assemble('linear.wat', readFileSync(new URL('linear.wat', import.meta.url), 'utf8'));
}

/** Assembles the text of `encrypt-wat.ts`; the committed `encrypt-binary.ts` holds exactly this output. */
export async function assembleEncryption(): Promise<Uint8Array> {
  return await assemble('encrypt.wat', encryptionKernelText());
}

/** The text of `binary.ts` for the given WebAssembly bytes. */
export function binaryModuleText(bytes: Uint8Array): string {
  return moduleText(bytes, 'linear.wat', 'The linear kernels', 'KERNEL_BINARY_BASE64');
}

/** The text of `encrypt-binary.ts` for the given WebAssembly bytes. */
export function encryptionModuleText(bytes: Uint8Array): string {
  return moduleText(bytes, 'encrypt-wat.ts', 'The encryption kernels', 'ENCRYPTION_BINARY_BASE64');
}

async function assemble(name: string, source: string): Promise<Uint8Array> {
  const assembler = await wabt();
  const module = assembler.parseWat(name, source, { simd: true });
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

function moduleText(bytes: Uint8Array, source: string, what: string, constant: string): string {
  return [
    `// Assembled from ${source} by \`node runtime/homomorphic/kernels/build.ts\`; a test rebuilds and compares.`,
    `/** ${what} as WebAssembly bytes, base64. */`,
    `export const ${constant} =`,
    `  '${Buffer.from(bytes).toString('base64')}';`,
    '',
  ].join('\n');
}

if (import.meta.main) {
  writeFileSync(new URL('binary.ts', import.meta.url), binaryModuleText(await assembleKernels()));
  writeFileSync(new URL('encrypt-binary.ts', import.meta.url), encryptionModuleText(await assembleEncryption()));
}
