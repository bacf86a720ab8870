import { processCli } from "./cli.ts";
import { run } from "./run.ts";

const cli = processCli();
// Each write hears of it by itself; this keeps the event from ending the process first.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
const code = await run(process.argv.slice(2), cli);
// Open handles (a pipe at stdin that nobody writes to) must not keep a finished command alive.
process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
