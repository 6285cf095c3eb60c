// The Kaplan–Meier estimate of a block: the share of patients who live longer than each of five years.
export default (input: {
  readonly columns: { readonly time: Float64Array; readonly status: Float64Array; readonly etype: Float64Array };
}): Record<string, number> => {
  const { time, status, etype } = input.columns;
  // Event type 2 is death; a patient has one row of it. Status 0: last seen alive on that day.
  const seen: { day: number; died: boolean }[] = [];
  for (const [i, day] of time.entries()) if (etype[i] === 2) seen.push({ day, died: status[i] === 1 });
  seen.sort((a, b) => a.day - b.day);
  const alive = (untilDay: number): number => {
    let share = 1;
    for (let i = 0; i < seen.length;) {
      const day = seen[i]?.day ?? 0;
      if (day > untilDay) break;
      const atRisk = seen.length - i;
      let deaths = 0;
      for (; i < seen.length && seen[i]?.day === day; i++) if (seen[i]?.died === true) deaths++;
      share *= 1 - deaths / atRisk;
    }
    return share;
  };
  return { year1: alive(365), year2: alive(730), year3: alive(1095), year4: alive(1460), year5: alive(1825) };
};
