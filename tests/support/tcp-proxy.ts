/**
 * A TCP proxy on loopback that can go silent or away, between a service and what it depends on.
 */
import { connect, createServer, type Socket } from "node:net";

export interface TcpProxy {
  readonly port: number;
  /** Takes bytes and passes nothing on, in either direction. */
  silence(): void;
  /** Cuts what is open and refuses what is new. */
  cut(): void;
  /** Passes on again; what went silent is cut. */
  heal(): void;
  close(): Promise<void>;
}

export async function tcpProxy(host: string, port: number): Promise<TcpProxy> {
  const open = new Set<Socket>();
  let mode: "passing" | "silent" | "cut" = "passing";
  const server = createServer((client) => {
    if (mode === "cut") return void client.destroy();
    const upstream = connect({ host, port });
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      open.add(from);
      from.on("data", (bytes) => {
        if (mode === "passing") to.write(bytes);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const cutAll = (): void => {
    for (const socket of open) socket.destroy();
  };
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    silence: () => {
      mode = "silent";
    },
    cut: () => {
      mode = "cut";
      cutAll();
    },
    heal: () => {
      if (mode === "silent") cutAll();
      mode = "passing";
    },
    close: () => new Promise((resolve) => {
      cutAll();
      server.close(() => resolve());
    }),
  };
}
