// Bundles the page: node build.mjs OUTPUT
import { build } from "esbuild";

const loader = { ".svg": "dataurl", ".png": "dataurl", ".gif": "dataurl", ".woff2": "dataurl", ".ttf": "empty" };
await build({
  entryPoints: ["main.jsx"], outfile: process.argv[2], bundle: true, minify: true, logLevel: "error", loader,
  alias: { "@grafana/ui": "./node_modules/@grafana/ui/dist/cjs/index.cjs", "@grafana/data": "./node_modules/@grafana/data/dist/cjs/index.cjs" },
  define: { "process.env.NODE_ENV": '"production"', global: "window" }, jsx: "automatic",
});
