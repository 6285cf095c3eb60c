// oxlint-disable no-unused-expressions -- a row function is the program's only and last expression
// The target, then the features in small ranges: long rows would need short steps.
(row: { readonly status?: number; readonly nodes?: number; readonly age?: number }) => [
  row.status,
  Math.min(row.nodes ?? 0, 20) / 20,
  ((row.age ?? 60) - 60) / 40,
];
