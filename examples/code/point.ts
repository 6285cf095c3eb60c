// oxlint-disable no-unused-expressions -- a row function is the program's only and last expression
(row: { readonly age?: number; readonly nodes?: number }) => [row.age, row.nodes];
