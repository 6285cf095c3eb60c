/** Libraries of the image: the file in its dist/ (and the name in a job), the npm package, and the global in the isolate. */
export const imageLibraries = [
  { file: 'simple-statistics', package: 'simple-statistics', global: 'ss', isDefaultOnly: false },
  { file: 'd3-array', package: 'd3-array', global: 'd3', isDefaultOnly: false },
  { file: 'ml-matrix', package: 'ml-matrix', global: 'mlMatrix', isDefaultOnly: false },
  { file: 'ml-regression', package: 'ml-regression', global: 'mlRegression', isDefaultOnly: false },
  { file: 'ml-kmeans', package: 'ml-kmeans', global: 'mlKmeans', isDefaultOnly: false },
  { file: 'ml-pca', package: 'ml-pca', global: 'mlPca', isDefaultOnly: false },
  {
    file: 'ml-logistic-regression',
    package: 'ml-logistic-regression',
    global: 'mlLogisticRegression',
    isDefaultOnly: true,
  },
  { file: 'jstat', package: 'jstat', global: 'jStat', isDefaultOnly: true },
] as const;
