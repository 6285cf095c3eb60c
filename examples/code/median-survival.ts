export default (input: { readonly columns: { readonly time: Float64Array; readonly etype: Float64Array } }): number => {
  const { time, etype } = input.columns;
  // Event type 2 is death; a patient has one row of it.
  const days = [...time].filter((_, i) => etype[i] === 2).sort((a, b) => a - b);
  return days[Math.floor(days.length / 2)] ?? NaN;
};
