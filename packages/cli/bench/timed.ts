import { spawn } from "node:child_process";
import { once } from "node:events";

/** Milliseconds from the start of a process to its end. An error when it ends with anything but 0. */
export async function timeOf(command: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [program = "", ...args] = command;
  const start = performance.now();
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, "close");
  const elapsed = performance.now() - start;
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${said}`);
  return elapsed;
}

/** Takes one sample of each in turn, `n` times after `warm` that do not count. */
export async function inTurns<K extends string>(
  works: Readonly<Record<K, () => Promise<number>>>,
  { n, warm, say }: { n: number; warm: number; say(line: string): void },
): Promise<Record<K, number[]>> {
  const names = Object.keys(works) as K[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let i = -warm; i < n; i++) {
    for (const name of names) {
      const elapsed = await works[name]();
      if (i >= 0) samples[name].push(elapsed);
    }
    if (i > 0 && i % 20 === 0) say(`${i} of ${n}`);
  }
  return samples;
}
