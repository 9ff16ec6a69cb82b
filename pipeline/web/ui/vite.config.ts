import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Plugin, defineConfig } from "vite";

/** Writes the licences of the packages that are in the bundle beside it. */
function licences(): Plugin {
  const packages = new Set<string>();
  return {
    name: "licences",
    apply: "build",
    generateBundle(_options, bundle) {
      for (const piece of Object.values(bundle)) {
        if (piece.type !== "chunk") continue;
        for (const id of piece.moduleIds) {
          const found = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id.replaceAll("\\", "/"));
          if (found) packages.add(found[0].replace("\0", ""));
        }
      }
      // Its style sheet is read by the bundler before modules are counted.
      packages.add(join(import.meta.dirname, "node_modules/uplot"));
      const texts = [...packages].sort().map((folder) => {
        const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((name) => /^licen[sc]e/i.test(name));
        if (!file) throw new Error(`${about.name} has no file with its licence`);
        const text = readFileSync(join(folder, file), "utf8").trim();
        return `${about.name} ${about.version} (${about.license})\n\n${text}\n`;
      });
      this.emitFile({
        type: "asset",
        fileName: "LICENSES.txt",
        source: texts.join(`\n${"-".repeat(78)}\n\n`),
      });
    },
  };
}

export default defineConfig({
  plugins: [licences()],
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    // The policy of the pages allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8090", ws: true } } },
});
