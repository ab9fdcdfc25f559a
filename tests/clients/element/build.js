// Bundles matrix-react-sdk, mounted in the page of page/, into the directory given as the first argument.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as esbuild from "esbuild";
import postcss from "postcss";

const require = createRequire(import.meta.url);
const sdk = dirname(require.resolve("matrix-react-sdk/package.json"));
const out = process.argv[2];
const page = join(import.meta.dirname, "page");

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "i18n"), { recursive: true });

/** Modules that only make sense inside Element's own webpack build. */
const replacements = {
  name: "replacements",
  setup(build) {
    const empty = { contents: "export default ''", loader: "js" };
    build.onResolve({ filter: /^!!raw-loader!/ }, () => ({ path: "raw", namespace: "empty" }));
    build.onResolve({ filter: /\/RecorderWorklet$/ }, () => ({ path: "recorder", namespace: "empty" }));
    build.onResolve({ filter: /^\$webapp\/i18n\/languages\.json$/ }, () => ({ path: "languages", namespace: "url" }));
    build.onResolve({ filter: /^(fs|path|crypto)$/ }, () => ({ path: "node", namespace: "empty" }));
    build.onResolve({ filter: /^util$/ }, () => ({ path: "util", namespace: "util" }));
    build.onLoad({ filter: /.*/, namespace: "util" }, () => ({
      contents: "export const isArray = Array.isArray; export const isDate = (one) => one instanceof Date;",
    }));
    build.onResolve({ filter: /^matrix-web-i18n$/ }, () => ({ path: "i18n", namespace: "i18n" }));
    build.onLoad({ filter: /.*/, namespace: "i18n" }, () => ({
      contents: `
        export const KEY_SEPARATOR = "|";
        export const normalizeLanguageKey = (language) => language.toLowerCase().replace("_", "-");
        export const getNormalizedLanguageKeys = (language) => {
          const key = normalizeLanguageKey(language);
          return [...new Set([key, key.split("-")[0]])];
        };`,
    }));
    build.onLoad({ filter: /.*/, namespace: "empty" }, () => empty);
    build.onLoad({ filter: /.*/, namespace: "url" }, () => ({ contents: "export default 'i18n/languages.json'" }));
    build.onLoad({ filter: /\.svg$/ }, async ({ path }) => {
      const svg = await readFile(path, "utf8");
      const [, root, inner] = svg.match(/<svg([^>]*)>([\s\S]*)<\/svg>/);
      const size = Object.fromEntries([...root.matchAll(/\b(viewBox|width|height)="([^"]*)"/g)].map((one) => one.slice(1)));
      return {
        contents: `
          import React from "react";
          const inner = { __html: ${JSON.stringify(inner)} };
          export const Icon = (props) => <svg fill="none" {...${JSON.stringify(size)}} {...props} dangerouslySetInnerHTML={inner} />;
          export default ${JSON.stringify(`data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`)};`,
        loader: "jsx",
        resolveDir: import.meta.dirname,
      };
    });
  },
};

const common = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  outdir: out,
  publicPath: "/",
  target: "chrome120",
  define: { global: "globalThis", "process.env.NODE_ENV": '"production"', "process.env": "{}" },
  loader: { ".png": "file", ".gif": "file", ".wasm": "file", ".woff": "file", ".woff2": "file", ".ttf": "file" },
  tsconfigRaw: { compilerOptions: { experimentalDecorators: true, jsx: "react", target: "es2022" } },
  logLevel: "error",
  logOverride: { "import-is-undefined": "silent" },
};

await esbuild.build({ ...common, entryPoints: [join(page, "main.js")], inject: [join(page, "buffer.js")], splitting: true, plugins: [replacements] });

for (const worker of ["indexeddb", "blurhash", "playback"]) {
  await esbuild.build({
    ...common,
    entryPoints: [join(sdk, `src/workers/${worker}.worker.ts`)],
    format: "iife",
    outdir: undefined,
    outfile: join(out, `${worker}.worker.ts`),
    plugins: [replacements],
  });
}

const theme = join(sdk, "res/themes/light/css/light.pcss");
const plugins = ["import", "mixins", "simple-vars", "nested", "easings", "hexrgba"];
const { css } = await postcss(plugins.map((name) => require(`postcss-${name}`)())).process(await readFile(theme), {
  from: theme,
  parser: require("postcss-scss"),
  map: false,
});
await esbuild.build({
  ...common,
  stdin: { contents: css, resolveDir: dirname(theme), loader: "css" },
  outdir: undefined,
  outfile: join(out, "light.css"),
  loader: { ...common.loader, ".svg": "file", ".jpg": "file" },
});

await cp(require.resolve("opus-recorder/dist/decoderWorker.min.wasm"), join(out, "decoderWorker.min.wasm"));
await cp(join(sdk, "src/i18n/strings/en_EN.json"), join(out, "i18n/en_EN.json"));
await writeFile(join(out, "i18n/languages.json"), JSON.stringify({ en: "en_EN.json" }));
for (const file of ["index.html", "media.js"]) await cp(join(page, file), join(out, file));
