// oxlint-disable no-unused-expressions -- a row function is the program's only and last expression
// A score per row: the image's checker accepts this small language only, so that no row can carry state to the next.
(row: { readonly age?: number; readonly nodes?: number }): number => {
  const burden = Math.min(row.nodes ?? 0, 20) / 20;
  const age = ((row.age ?? 60) - 18) / 72;
  return 1 / (1 + Math.exp(-(2.2 * burden + 0.8 * age - 1.4)));
};
