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

// What the application sends while no page of it is open.
self.addEventListener("push", (event) => {
  event.waitUntil(show(event.data));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.url));
});

async function show(data) {
  let said = {};
  try {
    said = data?.json() ?? {};
  } catch {
    // A browser wants to see a notification for each message, also for one that cannot be read.
  }
  const text = (value) => (typeof value === "string" ? value : "");
  await self.registration.showNotification(text(said.title) || "moonwatch", {
    body: text(said.body),
    // A second message about the same happening takes the place of the first.
    tag: text(said.tag) || "moonwatch",
    lang: text(said.lang) || "en",
    icon: "/icon-192.png",
    badge: "/icon-192.png",
    data: { url: text(said.url) },
  });
}

/** Show the page of an event: in a page that is open, or in a new one. */
async function open(path) {
  const url = new URL(typeof path === "string" && path ? path : "/", self.location.origin);
  const there = url.origin === self.location.origin ? url.pathname + url.search : "/";
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((one) => one.visibilityState === "visible") ?? pages[0];
  if (!page) {
    await self.clients.openWindow(there);
    return;
  }
  page.postMessage({ go: there });
  await page.focus().catch(() => {});
}
