/**
 * Stands in for the stream thread: speaks the control protocol without market data. FEED_INSTRUMENTS says how it behaves.
 *
 * `stub:fail-once=MARKER`, `stub:fail-always`, `stub:hang`, `stub:refuse`, `stub:mute`, `stub:no-workers`, `stub:slow-drain`, `stub:stubborn`; anything else: it
 * behaves. It listens with the real library, so that a thread that dies badly aborts the process as the real one would.
 */
import { existsSync, writeFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { App, us_socket_local_port } from "uWebSockets.js";
import type { StreamOptions } from "../../src/compose/stream-options.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { StreamCommand, StreamNotice } from "../../src/ports/stream-control.ts";

const options: StreamOptions = workerData;
const [mode, marker = ""] = (options.feedInstruments[0] ?? "").split("=");
const port = parentPort;
if (!port) throw new Error("expected to run as a worker thread");
const say = (notice: StreamNotice): void => port.postMessage(notice);
const server = App();
const state = (): void => say({
  type: "state",
  feeds: [{ name: "sim", venues: ["sim"], state: "live", reason: "", ageMs: 1, reconnects: 0, instruments: 2, simulated: true }],
  workers: { listening: mode === "stub:no-workers" ? 0 : 2, wanted: 2 },
  breakers: [],
});

function end(code: number): void {
  server.close();
  systemClock.after(5, () => process.exit(code));
}

const isFailing = mode === "stub:fail-always" || (mode === "stub:fail-once" && !existsSync(marker));
if (mode === "stub:refuse") {
  say({ type: "failed", message: "stub refuses" });
  end(1);
} else {
  server.listen(options.host, options.streamPort, (socket) => {
    state();
    say({ type: "settings", applied: { stream: options.settings.revision, workers: [options.settings.revision] } });
    say({ type: "listening", port: socket === false ? 0 : us_socket_local_port(socket) });
    say({ type: "log", level: "info", fields: { keys: options.keys.map((key) => key.keyId) }, message: "stub listens" });
    if (mode !== "stub:mute") systemClock.every(100, state);
    if (isFailing) {
      if (marker !== "") writeFileSync(marker, "");
      systemClock.after(50, () => {
        say({ type: "failed", message: "stub failed" });
        end(1);
      });
    }
    if (mode === "stub:hang") systemClock.after(50, () => {
      for (;;);
    });
  });
}

port.on("message", (command: StreamCommand) => {
  if (mode === "stub:stubborn" && command.type !== "report") return;
  if (command.type === "drain") systemClock.after(mode === "stub:slow-drain" ? 300 : 0, () => say({ type: "drained", sessions: 3 }));
  if (command.type === "keys") say({ type: "log", level: "info", fields: { revoked: command.change.revoked, added: command.change.added.map((k) => k.keyId) }, message: "stub keys" });
  if (command.type === "settings") say({ type: "settings", applied: { stream: command.settings.revision, workers: [command.settings.revision] } });
  if (command.type === "report") say({ type: "report", call: command.call, report: { feeds: [], sessions: 3, samples: [{ name: "ticker_sessions", help: "Sessions", type: "gauge", labels: { worker: "0" }, value: 3 }] } });
  if (command.type === "feeds" && command.order.type === "carry") say({ type: "feeds", notice: { type: "carried", call: command.order.call, refusals: [] } });
  if (command.type === "feeds" && command.order.type === "refresh") say({ type: "feeds", notice: { type: "refreshed", call: command.order.call, venues: [] } });
  if (command.type === "stop") {
    say({ type: "stopped" });
    end(0);
  }
});
