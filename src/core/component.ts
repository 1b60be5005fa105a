/**
 * Components: the parts of the process, started in order and stopped in reverse.
 */

export interface Component {
  readonly name: string;
  /** Resolves when the part does its work; rejects when it cannot. */
  start(): Promise<void>;
  /** Resolves when the part holds nothing any more. Also called on a part whose start failed half-way. */
  stop(): Promise<void>;
}

/** Starts the parts one after another; when one fails, the ones before it are stopped and the failure is rethrown. */
export async function startInOrder(parts: readonly Component[]): Promise<void> {
  const started: Component[] = [];
  for (const part of parts) {
    started.push(part);
    try {
      await part.start();
    } catch (error) {
      await stopInReverse(started, () => {});
      throw error;
    }
  }
}

/** Stops the parts, last first. A part that fails to stop is reported and does not keep the others running. */
export async function stopInReverse(parts: readonly Component[], onFailure: (part: string, error: unknown) => void): Promise<void> {
  for (const part of parts.toReversed()) {
    try {
      await part.stop();
    } catch (error) {
      onFailure(part.name, error);
    }
  }
}
