/* Keeps the files that the pages consist of, and nothing else: no answer of the API, no picture. */

const FILES = __FILES__;
const NAME = `moonwatch-${__VERSION__}`;
const NETWORK_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)));
});

// Begins when no page of the version before is open any more, so none misses its files.
self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => names.filter((name) => name.startsWith("moonwatch-") && name !== NAME))
      .then((old) => Promise.all(old.map((name) => caches.delete(name)))),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (!url.pathname.startsWith("/api/")) event.respondWith(page(request));
  } else if (FILES.includes(url.pathname) && url.pathname !== "/") {
    event.respondWith(file(url.pathname, request));
  }
});

/** The page as it is now; as it was kept where the server does not answer. */
async function page(request) {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(NETWORK_MS) });
  } catch {
    return (await kept("/")) ?? Response.error();
  }
}

async function file(path, request) {
  return (await kept(path)) ?? fetch(request);
}

async function kept(path) {
  const cache = await caches.open(NAME);
  return cache.match(path);
}
