import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Plugin, defineConfig } from "vite";

const MODULES = join(import.meta.dirname, "node_modules");
const ours = JSON.parse(readFileSync(join(import.meta.dirname, "package.json"), "utf8"));

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
      // Style sheets and fonts are no modules of a chunk.
      for (const name of Object.keys(ours.dependencies)) packages.add(join(MODULES, name));
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

/** Writes the service worker, which knows all files of this build by name. */
function serviceWorker(): Plugin {
  const source = join(import.meta.dirname, "src/service_worker.js");
  const fixed = join(import.meta.dirname, "public");
  return {
    name: "service-worker",
    apply: "build",
    enforce: "post",
    generateBundle(_options, bundle) {
      const made = Object.keys(bundle).filter((name) => name.startsWith("assets/"));
      const files = ["/", ...[...made, ...readdirSync(fixed)].map((name) => `/${name}`)].sort();
      const hash = createHash("sha256");
      for (const name of readdirSync(fixed)) hash.update(readFileSync(join(fixed, name)));
      hash.update(files.join());
      const text = readFileSync(source, "utf8")
        .replace("__FILES__", JSON.stringify(files))
        .replace("__VERSION__", JSON.stringify(hash.digest("hex").slice(0, 12)));
      this.emitFile({ type: "asset", fileName: "sw.js", source: text });
    },
  };
}

export default defineConfig({
  plugins: [licences(), serviceWorker()],
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
