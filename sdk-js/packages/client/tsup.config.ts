import { defineConfig } from 'tsup';

const common = { entry: ['src/index.ts'], sourcemap: true, clean: true, target: 'es2022', platform: 'browser', treeshake: true } as const;

export default defineConfig([
  { ...common, format: ['esm', 'cjs'], dts: true },
  // One file without imports, for `<script type="module">`.
  { ...common, format: ['esm'], outDir: 'dist/bundle', noExternal: [/./], minify: true, sourcemap: false },
]);
