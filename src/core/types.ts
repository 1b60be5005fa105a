/**
 * Type helpers that carry no domain word.
 */

declare const brand: unique symbol;

/** A value that must not be mixed with others of the same shape; made only by its own constructor function. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** The end of an exhaustive switch: reaching it is our mistake. */
export function unreachable(value: never): never {
  throw new Error(`unreachable value: ${String(value)}`);
}
