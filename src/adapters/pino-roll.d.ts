/**
 * Types of pino-roll, which ships none: only what we use.
 */
declare module "pino-roll" {
  interface RolledFile {
    /** Below 0 until the file is open. */
    readonly fd: number;
    /** Path of the file that is open. */
    readonly file: string;
    write(line: string): boolean;
    flushSync(): void;
    end(): void;
    on(event: "error", listener: (error: Error) => void): void;
    once(event: "close" | "ready", listener: () => void): void;
  }
  interface Options {
    readonly file: string;
    readonly frequency: "daily";
    readonly dateFormat: string;
    /** `10b`, `100m`. */
    readonly size: string;
    readonly mkdir: boolean;
  }
  export default function build(options: Options): Promise<RolledFile>;
}
