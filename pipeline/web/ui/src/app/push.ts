/** Whether this browser is told of events while no page is open, and what stands against it. */

import { del, get, post } from "../api/client.ts";
import type { components } from "../api/schema.d.ts";
import { language } from "./language.ts";
import { go } from "./router.ts";
import { bytesOf, idOf } from "./push_keys.ts";

export type PushInfo = components["schemas"]["PushInfo"];
export type OwnDevice = components["schemas"]["OwnDevice"];
export type PushChoice = components["schemas"]["PushChoice"];
/** Why this browser cannot be told, apart from what the server says. */
export type Obstacle = "insecure" | "install" | "unable" | "denied";

const KEY = "moonwatch-push";
const READY_MS = 10_000;

export function obstacle(): Obstacle | null {
  if (!window.isSecureContext) return "insecure";
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) {
    return isPhoneOfApple() && !isInstalled() ? "install" : "unable";
  }
  return Notification.permission === "denied" ? "denied" : null;
}

function isPhoneOfApple(): boolean {
  const isTablet = navigator.userAgent.includes("Macintosh") && navigator.maxTouchPoints > 1;
  return /iPhone|iPad|iPod/.test(navigator.userAgent) || isTablet;
}

function isInstalled(): boolean {
  return matchMedia("(display-mode: standalone)").matches;
}

/** The id by which the server knows this browser; null where it is told nothing. */
export async function thisDevice(): Promise<string | null> {
  if (obstacle() !== null) return null;
  const registration = await navigator.serviceWorker.getRegistration();
  const found = await registration?.pushManager.getSubscription();
  return found ? idOf(found.endpoint) : null;
}

/** Ask for permission and switch it on; null if somebody said no. Raises ApiError or an error of the browser. */
export async function switchOn(publicKey: string, who: string): Promise<OwnDevice | null> {
  if ((await Notification.requestPermission()) !== "granted") return null;
  const registration = await ready();
  const before = await registration.pushManager.getSubscription();
  if (before && !hasKey(before, publicKey)) await before.unsubscribe();
  const subscription = await registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: bytesOf(publicKey),
  });
  const device = await tellServer(subscription);
  keepOwner(who);
  return device;
}

/** Switch it off here; whoever else had it on in this browser is told nothing more either. */
export async function forgetThisBrowser(): Promise<void> {
  keepOwner(null);
  if (!("serviceWorker" in navigator)) return;
  const registration = await navigator.serviceWorker.getRegistration();
  const found = await registration?.pushManager?.getSubscription();
  await found?.unsubscribe();
}

export async function removeDevice(id: string): Promise<void> {
  await del(`/push/devices/${encodeURIComponent(id)}`);
}

/** Say that somebody is here again, so that he goes on being told; and stop telling another. */
export async function renewPush(who: string, mayHave: boolean): Promise<void> {
  const owner = ownerKept();
  if (owner === null) return;
  if (owner !== who) {
    await forgetThisBrowser();
    return;
  }
  if (!mayHave || obstacle() !== null || Notification.permission !== "granted") return;
  const registration = await ready();
  const found = await registration.pushManager.getSubscription();
  if (!found) return;
  const info = await get<PushInfo>("/push");
  if (info.state !== "on" || !info.public_key) return;
  if (hasKey(found, info.public_key)) await tellServer(found);
  else await switchOn(info.public_key, who);
}

/** Follow notifications that are clicked while a page is open. */
export function startPush(): void {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.addEventListener("message", (event: MessageEvent<unknown>) => {
    const said = event.data;
    if (typeof said !== "object" || said === null || !("go" in said)) return;
    if (typeof said.go === "string" && /^\/(?!\/)/.test(said.go)) go(said.go);
  });
  navigator.serviceWorker.startMessages();
}

async function tellServer(subscription: PushSubscription): Promise<OwnDevice> {
  const { endpoint, keys } = subscription.toJSON();
  return post<OwnDevice>("/push/devices", { endpoint, keys, language: language.value });
}

function hasKey(subscription: PushSubscription, publicKey: string): boolean {
  const used = subscription.options.applicationServerKey;
  if (!used) return false;
  const wanted = bytesOf(publicKey);
  return new Uint8Array(used).every((byte, at) => byte === wanted[at]);
}

async function ready(): Promise<ServiceWorkerRegistration> {
  const late = new Promise<never>((_, fail) => {
    setTimeout(() => fail(new Error("the service worker did not start")), READY_MS);
  });
  return Promise.race([navigator.serviceWorker.ready, late]);
}

function ownerKept(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keepOwner(who: string | null): void {
  try {
    if (who === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, who);
  } catch {
    // A browser that keeps nothing: it is switched on anew where it matters.
  }
}
