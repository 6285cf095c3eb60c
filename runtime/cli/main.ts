import { endWhenNobodyReads } from './closed-output.ts';
import { runCommandLine } from './program.ts';

const args = process.argv.slice(2);
endWhenNobodyReads(args);
await runCommandLine(args);
