/**
 * Makes sure that a port is free before anything listens: the WebSocket library would silently share it.
 */
import { connect, createServer } from "node:net";
import { messageOf, ResourceError } from "../core/errors.ts";

export interface PortClaim {
  /** The variable that sets it. */
  readonly variable: string;
  readonly host: string;
  readonly port: number;
}

/** Takes each port exclusively and lets go of it. @throws {ResourceError} naming every port that cannot be had. */
export async function claimPorts(claims: readonly PortClaim[]): Promise<void> {
  const faults = await Promise.all(claims.filter((claim) => claim.port !== 0).map(faultOf));
  const found = faults.filter((fault) => fault !== null);
  if (found.length > 0) throw new ResourceError(found.join("\n"));
}

async function faultOf(claim: PortClaim): Promise<string | null> {
  const error = await bindError(claim);
  if (error === null) return null;
  const isInUse = "code" in error && error.code === "EADDRINUSE";
  return isInUse && !await answers(claim) ? null : sentence(claim, error, isInUse);
}

function bindError({ host, port }: PortClaim): Promise<Error | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

/**
 * Whether somebody listens. For a minute after a drain the kernel keeps the closed connections of our former self, and
 * because the WebSocket library does not set SO_REUSEADDR, they alone make an exclusive bind fail.
 */
function answers({ host, port }: PortClaim): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) => resolve(!("code" in error && error.code === "ECONNREFUSED")));
  });
}

function sentence({ variable, host, port }: PortClaim, error: Error, isInUse: boolean): string {
  if (isInUse) return `${variable} ${port} on ${host} is in use by another process; stop that one or set ${variable}`;
  return `${variable} ${port} on ${host} cannot be listened on: ${messageOf(error)}`;
}
