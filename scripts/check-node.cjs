/**
 * Says in one sentence that Node is the wrong one; runs before every script, on any Node.
 *
 * Plain old CommonJS: an older Node can read neither TypeScript nor what main.ts would tell it.
 */
var parts = process.versions.node.split(".").map(Number);
if (parts[0] !== 22 || parts[1] < 18) {
  console.error("ticker-service needs Node 22.18 or a later 22, this is " + process.versions.node + "; run npm ci without --ignore-scripts: it installs the right one into node_modules");
  process.exit(1);
}
