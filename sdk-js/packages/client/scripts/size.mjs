// Reports the gzipped size of the bundle with its dependencies, and fails above the budget.
import { build } from 'esbuild';
import { gzipSync } from 'node:zlib';

const BUDGET = 40_000;

const { outputFiles } = await build({
  entryPoints: ['src/index.ts'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  write: false,
});
const { length } = gzipSync(outputFiles[0].contents, { level: 9 });
console.log(`@madang/client: ${length} of ${BUDGET} bytes gzipped, dependencies included`);
if (length > BUDGET) process.exit(1);
