export default (input: {
  readonly rows: number;
  readonly columns: { readonly status: Float64Array; readonly time: Float64Array };
}): Record<string, number> => {
  const { status, time } = input.columns;
  let events = 0;
  let days = 0;
  for (let i = 0; i < input.rows; i++) {
    events += status[i] ?? 0;
    days += time[i] ?? 0;
  }
  return { rows: input.rows, events, 'mean days': days / input.rows };
};
