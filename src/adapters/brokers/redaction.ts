/**
 * Takes credentials out of texts that others may read: reasons, logs, errors.
 */

const SIGNATURE = /\b(signature|sign|sig|token|apikey|api_key)=[^&\s"']+/gi;
const TEXT_MAX = 500;

export class Redaction {
  readonly #secrets: readonly string[];

  /** Empty texts are ignored. */
  constructor(secrets: readonly string[]) {
    this.#secrets = secrets.flatMap((secret) => [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")])
      .filter((secret) => secret !== "").toSorted((a, b) => b.length - a.length);
  }

  /** The text with every credential replaced, at most 500 characters. */
  of(text: string): string {
    let clean = text;
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, "[redacted]");
    return clean.replaceAll(SIGNATURE, "$1=[redacted]").slice(0, TEXT_MAX);
  }
}
