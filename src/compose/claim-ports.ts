/**
 * Makes sure that a port is free before anything listens: the WebSocket library would silently share it.
 */
import { createServer } from "node:net";
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

function faultOf(claim: PortClaim): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(sentence(claim, error)));
    server.listen({ host: claim.host, port: claim.port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

function sentence({ variable, host, port }: PortClaim, error: Error): string {
  if ("code" in error && error.code === "EADDRINUSE") return `${variable} ${port} on ${host} is in use by another process; stop that one or set ${variable}`;
  return `${variable} ${port} on ${host} cannot be listened on: ${messageOf(error)}`;
}
