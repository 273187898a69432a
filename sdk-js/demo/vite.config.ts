import { defineConfig } from 'vite';

/** The server that `npm run dev` talks to; a built demo is served by the server itself. */
const server = process.env.MADANG_URL ?? 'http://127.0.0.1:7880';

export default defineConfig({
  // The server embeds the build at `/`, and a reverse proxy may put it anywhere.
  base: './',
  build: { target: 'es2022', sourcemap: false, assetsInlineLimit: 0 },
  server: {
    proxy: {
      '/dev': server,
      '/v1': { target: server, ws: true },
    },
  },
});
