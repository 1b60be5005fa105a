/**
 * Databases of their own on a real Postgres server. Also used outside the test runner.
 */
import { randomBytes } from "node:crypto";
import pg from "pg";

/** A new database on the server of this run; answers its URL and what drops it. */
export async function newServerDatabase(serverUrl: string): Promise<{ readonly url: string; readonly drop: () => Promise<void> }> {
  const name = `t_${randomBytes(6).toString("hex")}`;
  const say = async (text: string): Promise<void> => {
    const client = new pg.Client({ connectionString: serverUrl });
    await client.connect();
    await client.query(text);
    await client.end();
  };
  await say(`create database ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => say(`drop database ${name} with (force)`) };
}
