/**
 * Ordered start and stop of the parts.
 */
import { expect, it } from "vitest";
import { type Component, startInOrder, stopInReverse } from "../../../src/core/component.ts";

const part = (name: string, said: string[], failing: "start" | "stop" | null = null): Component => ({
  name,
  start: async () => {
    said.push(`start ${name}`);
    if (failing === "start") throw new Error(`no ${name}`);
  },
  stop: async () => {
    said.push(`stop ${name}`);
    if (failing === "stop") throw new Error(`stuck ${name}`);
  },
});

it("starts in order and stops in reverse", async () => {
  const said: string[] = [];
  const parts = [part("a", said), part("b", said)];
  await startInOrder(parts);
  await stopInReverse(parts, () => expect.unreachable());
  expect(said).toEqual(["start a", "start b", "stop b", "stop a"]);
});

it("stops what had started, the failed part included, when one fails, and rethrows the failure", async () => {
  const said: string[] = [];
  await expect(startInOrder([part("a", said), part("b", said, "start"), part("c", said)])).rejects.toThrow("no b");
  expect(said).toEqual(["start a", "start b", "stop b", "stop a"]);
});

it("reports a part that fails to stop and stops the others", async () => {
  const said: string[] = [];
  const failures: string[] = [];
  await stopInReverse([part("a", said), part("b", said, "stop")], (name, error) => failures.push(`${name}: ${String(error)}`));
  expect(said).toEqual(["stop b", "stop a"]);
  expect(failures).toEqual(["b: Error: stuck b"]);
});
