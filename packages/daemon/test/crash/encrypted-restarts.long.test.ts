/**
 * One machine of an encrypted workspace restarts again and again, a third of the times by SIGKILL, while the other
 * asks without a pause. The full run restarts 200 times:
 *
 *   MX_TEST_SCALE=1 npm run test:long -- packages/daemon/test/crash/encrypted-restarts
 */
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";
import { Box, linesOf, scale } from "./support/box.ts";
import { Errand, type Outcome } from "./support/errand.ts";

const RESTARTS = Math.max(6, Math.round(200 * scale()));
/** Devices that ask for the first time, each by a one-time key of the machine that was restarted. */
const NEW_DEVICES = 3;

let homeserver: TestHomeserver;
let proxy: FaultProxy;
let they: TwoDaemons;
let laptop: Box;
let builder: Box;
const uploads: { status: number; body: string }[] = [];
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  proxy = await startFaultProxy(homeserver.url);
  they = await twoDaemons({
    homeserver,
    builderHomeserver: throughProxy(homeserver, proxy),
    encrypted: true,
  });
  [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
  proxy.on(({ path }) =>
    path.includes("/keys/upload")
      ? {
          kind: "rewrite",
          change: (answer) => {
            uploads.push(answer);
            return answer;
          },
        }
      : undefined,
  );
});
afterAll(async () => {
  await they?.close();
  await proxy?.close();
  await homeserver?.close();
});

test(`over ${RESTARTS} restarts every request is decrypted and answered once, and the server has no key that nobody has`, async () => {
  const asked: { errand: Errand; outcome: Outcome }[] = [];
  let over = false;
  const asking = (async () => {
    for (let number = 1; !over; number++) {
      const errand = new Errand({ number, caller: laptop, room: they.room, project: they.project, ms: 50 });
      asked.push({ errand, outcome: await errand.run() });
    }
  })();
  for (let n = 0; n < RESTARTS; n++) {
    // Somewhere between the first sync of a new daemon and the middle of a request.
    await pause((n * 137) % 700);
    if (n % 3 === 0) await builder.kill();
    else await builder.stop();
    builder.start();
    if (n % 2 === 0) await builder.answers();
    // On a slow machine it would otherwise do nothing but start.
    const answered = asked.length;
    if (n % 4 === 3) await eventually(() => asked.length > answered, "a request was answered");
    if (n % 50 === 49) process.stdout.write(`${n + 1} restarts, ${asked.length} requests\n`);
  }
  over = true;
  await asking;
  process.stdout.write(`${RESTARTS} restarts, ${asked.length} requests, ${uploads.length} uploads of keys\n`);

  const wrong: unknown[] = [];
  for (const { errand, outcome } of asked) {
    const expected = { type: "exited", exit_code: errand.exit_code, stdout: errand.output };
    const starts = await linesOf(errand.file);
    if (starts !== 1 || JSON.stringify(outcome) !== JSON.stringify(expected)) wrong.push({ starts, outcome });
  }
  expect(wrong).toEqual([]);
  expect(uploads.filter(({ status }) => status !== 200 && status < 500)).toEqual([]);
  await builder.answers();
  expect((await builder.ask("daemon.status", {})).undecryptable).toBe(0);

  for (let n = 0; n < NEW_DEVICES; n++) {
    await they.laptop.ask(["auth", "logout"]);
    await they.laptop.login();
    expect(await they.exec(["echo", `device ${n}`])).toMatchObject({ code: 0, stdout: `device ${n}\n` });
  }
});
