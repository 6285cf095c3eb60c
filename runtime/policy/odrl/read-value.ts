/** Why a document is not a policy of our profile; `path` is where. */
export class NodeError extends Error {
  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.name = 'NodeError';
  }
}

/** Milliseconds of an xsd:duration without years and months, whose length varies. */
export function durationParts(said: string, path: string): number {
  const match =
    /^P(?=\d|T\d)(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,8})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.(\d{1,3}))?S)?)?$/.exec(said);
  if (match === null) throw new NodeError(path, `\`${said}\` is not a duration in days, hours, minutes and seconds`);
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1, 5).map((part) => Number(part ?? 0));
  const ms = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + Number((match[5] ?? '').padEnd(3, '0'));
  if (!Number.isSafeInteger(ms)) throw new NodeError(path, `\`${said}\` is too long`);
  return ms;
}
