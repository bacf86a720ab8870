import { processCli } from "./cli.ts";
import { run } from "./run.ts";

// Each write hears of it by itself; this keeps the event from ending the process first.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
void run(process.argv.slice(2), processCli()).then((code) => {
  // Open handles (a pipe at stdin that nobody writes to) must not keep a finished command alive.
  process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
});
