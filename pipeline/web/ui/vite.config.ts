import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
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

/** Names each text once for all languages: half of a file of texts is names. */
function namedOnce(): Plugin {
  return {
    name: "texts-named-once",
    apply: "build",
    enforce: "pre",
    async transform(_code, id) {
      if (!/\/texts\.ts$/.test(id)) return null;
      const { texts } = await import(pathToFileURL(id).href); // Node runs TypeScript
      const names = Object.keys(texts.en);
      const spoken = Object.entries<Record<string, string>>(texts).map(([language, said]) => {
        const missing = names.find((name) => !(name in said)) ?? Object.keys(said).find((name) => !(name in texts.en));
        if (missing) this.error(`${id}: ${missing} is not in all languages`);
        return `${language}: of(${JSON.stringify(names.map((name) => said[name]))})`;
      });
      return {
        code: `const names = ${JSON.stringify(names)};
          const of = (said) => Object.fromEntries(said.map((one, n) => [names[n], one]));
          export const texts = { ${spoken.join(", ")} };`,
        map: null,
      };
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
  plugins: [namedOnce(), licences(), serviceWorker()],
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
