/* Keeps all files of this version, so that the page works without network, and lets no request go to another host.
   export.py writes VERSION and FILES before this line. */

const PREFIX = `chestxray ${self.registration.scope} `;
const CACHE = PREFIX + VERSION;
const RUNTIMES = /^ort[.-]/; // large, and each browser needs only one of them: they are kept when they are first used

self.addEventListener("install", (event) => event.waitUntil(keepFiles()));
self.addEventListener("activate", (event) => event.waitUntil(removeOthers().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

const fresh = (name) => new Request(new URL(name, self.registration.scope), { cache: "no-cache" });

async function keepFiles() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.filter((name) => !RUNTIMES.test(name)).map(fresh));
}

async function removeOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
}

async function answer(request) {
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return Response.error();
  const scope = new URL(self.registration.scope);
  const name = url.pathname.slice(scope.pathname.length) || "index.html";
  if (!url.pathname.startsWith(scope.pathname) || !FILES.includes(name)) return fetch(request);
  const cache = await caches.open(CACHE);
  const kept = await cache.match(fresh(name));
  if (kept) return kept;
  const response = await fetch(fresh(name));
  if (response.ok) await cache.put(fresh(name), response.clone());
  return response;
}
