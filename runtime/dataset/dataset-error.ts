/** A fault of registration, verification or layout, told to the provider: what, where, why. Never shown to a consumer. */
export type DatasetErrorCode =
  | 'invalid-name'
  | 'invalid-file'
  | 'unsupported-type'
  | 'too-large'
  | 'changed'
  | 'conflict'
  | 'invalid-layout'
  | 'not-found';

export class DatasetError extends Error {
  override readonly name = 'DatasetError';
  readonly code: DatasetErrorCode;

  constructor(code: DatasetErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** `file:line` prefix, or `file` when the line is not known. */
export function at(file: string, line: number | null = null): string {
  return line === null ? file : `${file}:${line}`;
}
