/**
 * A REST client for tests: one key, JSON in and out.
 */

export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Members of the body; none when it has no body or is no object. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface RestClient {
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<RestAnswer>;
  send(method: "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<RestAnswer>;
}

/** @param page `http://127.0.0.1:PORT` */
export function restClient(page: string, key: string): RestClient {
  const ask = async (method: string, path: string, body: unknown, headers: Readonly<Record<string, string>>): Promise<RestAnswer> => {
    const answer = await fetch(page + path, {
      method, headers: { "x-api-key": key, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const parsed: unknown = text === "" ? {} : JSON.parse(text);
    return { status: answer.status, headers: answer.headers, body: typeof parsed === "object" && parsed !== null ? { ...parsed } : {} };
  };
  return {
    get: (path, headers = {}) => ask("GET", path, undefined, headers),
    send: (method, path, body, headers = {}) => ask(method, path, body, headers),
  };
}

/** Objects in `items` of an answer. */
export function itemsOf({ body }: RestAnswer): Readonly<Record<string, unknown>>[] {
  const { items } = body;
  return Array.isArray(items) ? items.filter((item): item is Record<string, unknown> => typeof item === "object" && item !== null) : [];
}
