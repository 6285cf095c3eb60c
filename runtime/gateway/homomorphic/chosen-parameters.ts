import type { HomomorphicServiceHandlers } from '../../gen/services.ts';
import { chooseParameters } from '../../homomorphic/choose.ts';
import { parseProgram } from '../../homomorphic/program.ts';
import { Fault } from '../../rpc/fault.ts';
import { Refused, refusalOf } from './ciphertext-upload.ts';

/** Parameters for a program, explained; computes nothing. */
export function chosenParameters(
  request: Parameters<HomomorphicServiceHandlers['chooseParameters']>[1],
): Awaited<ReturnType<HomomorphicServiceHandlers['chooseParameters']>> {
  const blank = {
    profile: '',
    explanation: [],
    scheme: '',
    degree: 0,
    securityBits: 0,
    errorBound: 0,
    bytes: 0n,
    reasons: [],
  };
  const { program, low, high, decimals, rows, securityBits } = request;
  if (program === null) throw new Fault('argument-not-valid', 'no program is given');
  try {
    const parsed = parseProgram({
      name: program.name,
      columns: program.columns,
      weights: program.weights,
      parameters: program.parameters,
    });
    const weightTotal = parsed.weights.reduce((sum, weight) => sum + Math.abs(weight), 0);
    const choice = chooseParameters({
      column: parsed.columns[0] ?? '',
      programs: [parsed.name],
      low,
      high,
      decimals,
      rows: Number(rows),
      ...(securityBits === 0 ? {} : { securityBits }),
      ...(weightTotal === 0 ? {} : { weightTotal: weightTotal * 10 ** (parsed.parameters['weightDecimals'] ?? 0) }),
    });
    const profile = choice.profiles[0] ?? '';
    return {
      ...blank,
      profile: choice.profiles.join(','),
      explanation: choice.explanation,
      scheme: profile.split('-')[0] ?? '',
      degree: Number(/N = (\d+)/.exec(choice.explanation.join(' '))?.[1] ?? 0),
      securityBits: choice.securityBits,
      bytes: BigInt(Math.ceil(choice.uploadedBytesPerValue * Number(rows))),
    };
  } catch (error) {
    const refused = refusalOf(error);
    if (refused instanceof Refused) return { ...blank, reasons: [refused.reason] };
    throw error;
  }
}
