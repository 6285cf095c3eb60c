// Prints the ledger's and the evidence log's figures as JSON: node benchmarks/ledger/main.ts [FOLDER ON THE DISK TO MEASURE]
import { measureEvidence, measureLedger } from './ledger.ts';

const root = process.argv[2];
const options = root === undefined ? {} : { root };
const figures = { ledger: await measureLedger(options), evidence: await measureEvidence(options) };
console.log(JSON.stringify(figures, null, 2));
