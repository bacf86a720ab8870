import { runHomeserver } from "../../src/index.ts";

/** The homeserver as a process of its own, to be killed: `node crash-server.ts DATA_DIR PORT`. */
const [dataDir = "", port = "0"] = process.argv.slice(2);

await runHomeserver(
  {
    bind: { host: "127.0.0.1", port: Number(port) },
    dataDir,
    name: "localhost",
    registration: "open",
    rateLimits: null,
  },
  (url) => process.stdout.write(`${url}\n`),
);
