/** Talks to the API: every call has a deadline, and every failure is an ApiError with a sentence. */

import { noteAnswer, noteSilence } from "../app/connection.ts";

const PREFIX = "/api/v1";
const DEADLINE_MS = 20_000;

/** Why a call failed; status 0 where there was no answer at all. */
export class ApiError extends Error {
  readonly status: number;
  /** Where the mistake is, such as the name of a field. */
  readonly place: string | null;
  /** All that the server said of it. */
  readonly detail: Record<string, unknown>;

  constructor(
    status: number,
    message: string,
    place: string | null = null,
    detail: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.place = place;
    this.detail = detail;
  }
}

export interface CallOptions {
  /** Ends the call early, such as when a view is left. */
  signal?: AbortSignal;
  /** For calls that are meant to take long; 20 s otherwise. */
  deadlineMs?: number;
}

type Query = Record<string, string | number | boolean | readonly string[] | null | undefined>;

/** A path with its query; what is null or undefined is left out, lists are repeated. */
export function withQuery(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    if (Array.isArray(value)) for (const one of value) parameters.append(name, one);
    else parameters.append(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

/** The address of something of the API, for `src` and `href`. */
export function address(path: string, query: Query = {}): string {
  return PREFIX + withQuery(path, query);
}

let signedOut: () => void = () => {};

/** What is done when the server does not know who asks. */
export function onSignedOut(act: () => void): void {
  signedOut = act;
}

/** The answer itself, for what is not JSON; raises ApiError. */
export async function call(
  method: string,
  path: string,
  body?: unknown,
  options: CallOptions = {},
): Promise<Response> {
  const deadline = AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  const headers: Record<string, string> = { "X-Moonwatch": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(PREFIX + path, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    noteSilence();
    throw new ApiError(0, deadline.aborted ? "no answer in time" : "no connection");
  }
  noteAnswer();
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (failure.status === 401) signedOut();
  throw failure;
}

/** Whether an error only says that a view has been left. */
export function isAbandoned(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

async function failureOf(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    const place = typeof error["place"] === "string" ? error["place"] : null;
    return new ApiError(response.status, String(error["message"]), place, error);
  } catch {
    return new ApiError(response.status, `${response.status} ${response.statusText}`.trim());
  }
}

async function json<T>(
  method: string,
  path: string,
  body?: unknown,
  options?: CallOptions,
): Promise<T> {
  const response = await call(method, path, body, options);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export function get<T>(path: string, query: Query = {}, options?: CallOptions): Promise<T> {
  return json<T>("GET", withQuery(path, query), undefined, options);
}

export function post<T>(path: string, body: unknown = {}, options?: CallOptions): Promise<T> {
  return json<T>("POST", path, body, options);
}

export function put<T>(path: string, body: unknown = {}, options?: CallOptions): Promise<T> {
  return json<T>("PUT", path, body, options);
}

export function patch<T>(path: string, body: unknown = {}, options?: CallOptions): Promise<T> {
  return json<T>("PATCH", path, body, options);
}

export function del<T>(path: string, options?: CallOptions): Promise<T> {
  return json<T>("DELETE", path, undefined, options);
}
