import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@mx-agent/ipc/client";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median, quantile } from "../../../scripts/bench/stats.ts";
import { type HomeserverKind, startHomeserverForTests } from "../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../test/support/two-daemons.ts";
import { startSshd } from "./sshd.ts";
import { inTurns, timeOf } from "./timed.ts";

export const name = "round-trip";
export const description =
  "A command on the other machine and its exit status, in a room without encryption and a run without a sandbox: the whole program against a fresh ssh, and a client that is connected already";

/** What a default Synapse needs to give a user all of his burst back: 10 messages at 0.2 a second. */
const CALM_MS = 60_000;

export async function run(context: BenchContext): Promise<Row[]> {
  return [...(await quick(context)), await limited(context)];
}

async function quick({ scale, say }: BenchContext): Promise<Row[]> {
  await using sshd = await startSshd();
  await using embedded = await couple("embedded");
  await using synapse = await couple("synapse");
  const ssh = sshd.ssh("true");
  const n = Math.max(20, Math.round(200 * scale));
  const all = await inTurns(
    {
      ssh: () => timeOf(ssh, process.env),
      embedded: () => wholeProgram(embedded.they),
      synapse: () => wholeProgram(synapse.they),
    },
    { n, warm: 5, say: (line) => say(`whole program: ${line}`) },
  );
  const [warmEmbedded, warmSynapse] = [await warmClient(embedded.they), await warmClient(synapse.they)];
  const warm = await inTurns(
    { embedded: warmEmbedded.exec, synapse: warmSynapse.exec },
    { n, warm: 5, say: (line) => say(`connected client: ${line}`) },
  );
  for (const client of [warmEmbedded, warmSynapse]) client.close();
  const against = `fresh ssh localhost true, ${median(all.ssh).toFixed(0)} ms`;
  const whole = "mx-agent exec -- true, all in";
  return [
    compared(
      { what: `${whole}, embedded`, against, unit: "ms", aim: "at most 1/2", must: { atMost: 0.5 } },
      all.embedded,
      all.ssh,
    ),
    compared({ what: `${whole}, Synapse`, against, unit: "ms", aim: "reported" }, all.synapse, all.ssh),
    reported("exec through a connected client, embedded", warm.embedded),
    reported("exec through a connected client, Synapse", warm.synapse),
  ];
}

/** Ten in a row, where the server allows 0.2 messages a second after a burst of ten. */
async function limited({ say }: BenchContext): Promise<Row> {
  say("two daemons on a Synapse with its default rate limits: this takes minutes");
  await using side = await couple("synapse", true);
  await pause(CALM_MS);
  const start = performance.now();
  for (let i = 1; i <= 10; i++) {
    await wholeProgram(side.they);
    say(`${i} of 10 after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
  const seconds = (performance.now() - start) / 1000;
  return { ...reported("ten × exec -- true, Synapse with its default rate limits", [seconds]), unit: "s" };
}

async function couple(
  kind: HomeserverKind,
  defaultRateLimits = false,
): Promise<{ they: TwoDaemons } & AsyncDisposable> {
  const homeserver = await startHomeserverForTests({ kind, defaultRateLimits });
  try {
    const they = await twoDaemons({ homeserver });
    return {
      they,
      async [Symbol.asyncDispose]() {
        await they.close();
        await homeserver.close();
      },
    };
  } catch (error) {
    await homeserver.close();
    throw error;
  }
}

function wholeProgram({ laptop, room, project }: TwoDaemons): Promise<number> {
  const target = ["--room", room, "--agent", "builder", "--cwd", project];
  return timeOf([...laptop.command, "exec", ...target, "--", "true"], laptop.env);
}

async function warmClient({ laptop, room, project }: TwoDaemons) {
  const client = await connect({ socket: join(laptop.home, "runtime", "agent.sock"), version: "0.1.0" });
  const params = {
    ...{ room, agent: "builder", command: ["true"], cwd: project, env: {} },
    ...{ timeout_ms: null, stdin: false, detach: false },
  };
  return {
    close: () => client.close(),
    async exec(): Promise<number> {
      const start = performance.now();
      const call = client.call("exec.run", params);
      for await (const _ of call.output);
      const end = await call.result;
      if (end.type !== "finished" || end.result.exit_code !== 0) throw new Error(JSON.stringify(end));
      return performance.now() - start;
    },
  };
}

function reported(what: string, samples: readonly number[]): Row {
  return {
    ...{ what, against: "", n: samples.length, median: median(samples) },
    p95: samples.length > 1 ? quantile(samples, 0.95) : undefined,
    ...{ unit: "ms", ratio: undefined, interval: undefined, aim: "reported", verdict: "reported" },
  };
}
