/** The application as one that is installed: its files are kept, so that it opens at once. */

/** Keep the files of the pages where the browser allows it: over https, and on this machine. */
export function keepPages(): void {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  addEventListener("load", () => {
    navigator.serviceWorker.register("/sw.js", { updateViaCache: "none" }).catch((error: unknown) => {
      // Nothing is lost but the speed of the next start.
      console.warn("the pages are not kept in this browser:", error);
    });
  });
}

const RELOADED = "moonwatch-reloaded";
const AGAIN_AFTER_MS = 60_000;

/**
 * Load the page anew after a part of it could not be loaded, as after an update of the server; not
 * twice within a minute. Whether it does.
 */
export function loadAnew(): boolean {
  try {
    const last = Number(sessionStorage.getItem(RELOADED));
    if (Date.now() - last < AGAIN_AFTER_MS) return false;
    sessionStorage.setItem(RELOADED, String(Date.now()));
  } catch {
    return false;
  }
  location.reload();
  return true;
}
