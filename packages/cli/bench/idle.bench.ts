import { fork } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { judged, reported } from "../../../scripts/bench/stats.ts";
import { root } from "../../../scripts/tasks.ts";
import { type Couple, couple, pidsOf, usageOf } from "./couple.ts";

export const name = "idle";
export const description =
  "A minute in which nothing happens: how often daemon and runner are woken, processor time and memory; the memory of a daemon in an encrypted room against the bare SDK with a memory store in the same room";

const MINUTE_MS = 60_000;
const bareSdk = fileURLToPath(new URL("bare-sdk.ts", import.meta.url));
/** As the daemon's. */
const HEAP = ["--max-semi-space-size=4", "--max-old-space-size=1024"];

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind: "embedded", encrypted: true });
  // As they are after a start, and not after a registration and a workspace's making.
  for (const machine of [they.laptop, they.builder]) {
    await machine.run(["daemon", "stop"]);
    await machine.startDaemon();
  }
  const bare = await startBareSdk(they, []);
  const alike = await startBareSdk(they, HEAP);
  try {
    await pause(5_000);
    const { daemon, runner } = await pidsOf(they.builder);
    const before = { daemon: usageOf(daemon), runner: usageOf(runner) };
    const ms = MINUTE_MS * Math.max(0.2, Math.min(1, scale));
    say(`nothing happens for ${(ms / 1000).toFixed(0)} s`);
    await pause(ms);
    const minute = MINUTE_MS / ms;
    const rows = (["daemon", "runner"] as const).flatMap((who): Row[] => {
      const [first, last] = [before[who], usageOf(who === "daemon" ? daemon : runner)];
      return [
        reported({ what: `${who}: wake-ups`, unit: "a minute" }, [(last.wakeups - first.wakeups) * minute]),
        reported({ what: `${who}: processor time`, unit: "ms a minute" }, [
          (last.cpu_s - first.cpu_s) * 1000 * minute,
        ]),
        reported({ what: `${who}: memory`, unit: "MB" }, [last.rss_mb]),
      ];
    });
    const ours = usageOf(daemon).rss_mb;
    const memory = (what: string, theirs: number) => ({
      what: "memory of an idle daemon in an encrypted room",
      against: `${what}, ${theirs.toFixed(0)} MB`,
      unit: "MB",
    });
    const [theirs, limited] = [usageOf(bare.pid).rss_mb, usageOf(alike.pid).rss_mb];
    const ratio = ours / theirs;
    const first = { ...memory("the bare SDK with a memory store", theirs), aim: "at most + 20 %" };
    const second = reported(memory("the same with the daemon's limits of V8's heap", limited), [ours]);
    return [...rows, judged(first, ours, { met: ratio <= 1.2, ratio }), { ...second, ratio: ours / limited }];
  } finally {
    await bare.close();
    await alike.close();
  }
}

/** A process with nothing but the SDK, as another device of the builder's user. */
async function startBareSdk({ builder, homeserver, room }: Couple, flags: string[]) {
  const [, user] = /^@([^:]+):/.exec(builder.user) ?? [];
  const settings = JSON.stringify({ url: homeserver.url, user, password: builder.password, room });
  // Bundled as the daemon is: reading types away costs memory of its own.
  const outfile = join(root, ".cache", `bare-sdk-${process.pid}-${flags.length}.mjs`);
  await build({
    ...{ entryPoints: [bareSdk], outfile, bundle: true, platform: "node", format: "esm", logLevel: "error" },
    external: ["@matrix-org/matrix-sdk-crypto-wasm"],
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
  });
  const child = fork(outfile, [settings], { execArgv: flags });
  const ended = once(child, "exit");
  await Promise.race([
    once(child, "message"),
    ended.then(([code]) => Promise.reject(new Error(`the bare SDK ended with ${code}`))),
  ]);
  return {
    pid: child.pid ?? 0,
    async close() {
      child.kill("SIGKILL");
      await ended;
      await rm(outfile, { force: true });
    },
  };
}
