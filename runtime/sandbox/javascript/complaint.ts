/** What is wrong with a consumer's own text, and where: 1-based line and column. */
export interface Complaint {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Thrown by the parsers of consumer code, and turned into an answer by the function that called them. */
export class RefusedSource extends Error {
  override readonly name = 'RefusedSource';
  readonly complaint: Complaint;

  constructor(complaint: Complaint) {
    super(complaint.message);
    this.complaint = complaint;
  }
}

/** Returns the line and column of an offset in a text. */
export function placeOf(source: string, offset: number): { readonly line: number; readonly column: number } {
  const before = source.slice(0, offset);
  const line = before.split('\n').length;
  return { line, column: offset - (before.lastIndexOf('\n') + 1) + 1 };
}

/** Returns the complaint in an error of acorn, or undefined for any other error. */
export function complaintOfParser(error: unknown): Complaint | undefined {
  if (error instanceof RefusedSource) return error.complaint;
  if (error instanceof RangeError) return { line: 1, column: 1, message: 'the source is nested too deeply' };
  if (!(error instanceof SyntaxError)) return undefined;
  const place = (error as { loc?: { line: number; column: number } }).loc;
  const message = error.message.replace(/ \(\d+:\d+\)$/, '');
  return { line: place?.line ?? 1, column: (place?.column ?? 0) + 1, message: `syntax error: ${message}` };
}
