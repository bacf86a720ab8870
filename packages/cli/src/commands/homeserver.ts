import { resolve } from "node:path";
import { mxError, shellWord } from "@mx-agent/base";
import type { HomeserverOptions } from "@mx-agent/homeserver";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { parseBind } from "../parse/bind.ts";
import { parseCount } from "../parse/count.ts";
import { parseDuration } from "../parse/duration.ts";
import { many } from "../parse/options.ts";
import { withProgress } from "../progress.ts";
import { askSecret, readLines } from "../prompt.ts";
import { pairs, table } from "../render/table.ts";
import { ago } from "../render/time.ts";
import { type Define, verb } from "../verb.ts";
import { verbosityOf } from "../verbose.ts";

interface StartFlags extends JsonFlag {
  bind: string;
  data?: string;
  name: string;
  ephemeral?: boolean;
  foreground?: boolean;
  allowRemote?: boolean;
  behindProxy?: boolean;
  limit: string[];
}

interface DataFlag extends JsonFlag {
  data?: string;
}

const DATA = ["--data <directory>", "what `homeserver start` was given; by default that of `up`"] as const;

/** MX_USAGE where no directory is named, and `up` has started no homeserver here. */
async function dataOf(cli: Cli, flags: DataFlag): Promise<string> {
  if (flags.data !== undefined) return resolve(flags.data);
  const { readRecord } = await import("../setup/record.ts");
  const { embedded } = readRecord(cli.env);
  if (embedded === undefined)
    throw usage("which one? give the --data DIRECTORY that `homeserver start` was given", "");
  return embedded.data;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "start",
    summary: "start a homeserver on this host, in the background",
    example: "homeserver start --data ~/.local/share/mx-homeserver",
    more:
      "For the first run, one person's machines and tests: one host, SQLite, no federation. Any other\n" +
      "homeserver takes over by another URL. Accounts are made by `homeserver user add`, or by whoever\n" +
      "has a token of `homeserver token create`. In the foreground it runs with the settings that Node was\n" +
      "started with; a unit of a service manager keeps its memory flat by the environment\n" +
      "NODE_OPTIONS='--max-semi-space-size=4 --max-old-space-size=1024' MALLOC_ARENA_MAX=1, as the\n" +
      "background does by itself.",
  })
    .option("--bind <address:port>", "where it listens; port 0 takes a free one", "127.0.0.1:8008")
    .option("--data <directory>", "where it keeps everything")
    .option("--name <name>", "the part of user ids after the colon", "localhost")
    .option("--ephemeral", "forget everything at the end; stays in this terminal")
    .option("--foreground", "stay in this terminal")
    .option("--allow-remote", "listen on more than loopback, in plain HTTP: put TLS in front")
    .option("--behind-proxy", "a reverse proxy on this host says who asks, in X-Forwarded-For")
    .option(
      "--limit <class=burst/per-second>",
      "a rate limit other than the default, as message=500/50; `off` for none; may be repeated",
      many,
      [],
    )
    .action((flags: StartFlags) => start(cli, flags));

  verb(noun, {
    name: "status",
    summary: "whether the homeserver of a data directory runs",
    example: "homeserver status --data ~/.local/share/mx-homeserver",
    more: "Exit status 3 when it does not run.",
  })
    .option(...DATA)
    .action(async (flags: DataFlag) => {
      const { homeserverStatus } = await import("@mx-agent/homeserver");
      const data = await dataOf(cli, flags);
      const status = homeserverStatus(data);
      if (!status.running)
        throw mxError("MX_NOT_RUNNING", {
          what: "the homeserver",
          hint:
            flags.data === undefined
              ? "start it with `mx-agent up`"
              : `start it with \`mx-agent homeserver start --data ${shellWord(flags.data)}\``,
        });
      await answer(cli, flags, status, ({ url, pid, started_at }) =>
        pairs([
          ["running", url],
          ["pid", String(pid)],
          ["since", started_at],
        ]),
      );
    });

  verb(noun, {
    name: "stop",
    summary: "stop the homeserver of a data directory",
    example: "homeserver stop --data ~/.local/share/mx-homeserver",
  })
    .option(...DATA)
    .action(async (flags: DataFlag) => {
      const { stopHomeserver } = await import("@mx-agent/homeserver");
      const stopped = await stopHomeserver(await dataOf(cli, flags));
      await answer(cli, flags, { stopped }, () =>
        stopped ? "the homeserver was stopped" : "the homeserver was not running",
      );
    });

  defineUsers(
    verb(noun, { name: "user", summary: "accounts", example: "homeserver user list --data DIR" }),
    cli,
  );
  defineTokens(
    verb(noun, {
      name: "token",
      summary: "registration tokens",
      example: "homeserver token create --data DIR",
    }),
    cli,
  );
};

function defineUsers(user: Parameters<Define>[0], cli: Cli): void {
  verb(user, {
    name: "add <name>",
    summary: "make an account",
    example: "homeserver user add alice --data ~/.local/share/mx-homeserver",
    more: "The password is asked for, read from stdin, or taken from MX_AGENT_PASSWORD.",
  })
    .option(...DATA)
    .option("--password-stdin", "read the password from stdin")
    .action(async (name: string, flags: DataFlag & { passwordStdin?: boolean }) => {
      const { addUser } = await import("@mx-agent/homeserver");
      const data = await dataOf(cli, flags);
      const password = await passwordFor(cli, name, flags.passwordStdin === true);
      const user_id = await addUser(data, name, password);
      await answer(cli, flags, { user_id }, () => user_id);
    });

  verb(user, {
    name: "list",
    summary: "the accounts",
    example: "homeserver user list --data ~/.local/share/mx-homeserver",
  })
    .option(...DATA)
    .action(async (flags: DataFlag) => {
      const { listUsers } = await import("@mx-agent/homeserver");
      const users = (await listUsers(await dataOf(cli, flags))).map((one) => ({
        user_id: one.userId,
        created_at: new Date(one.createdAt).toISOString(),
        deactivated: one.deactivated,
      }));
      await answer(cli, flags, users, (all, columns) =>
        table(
          ["USER", "MADE", "STATE"],
          all.map((one) => [
            one.user_id,
            ago(Date.parse(one.created_at), Date.now()),
            one.deactivated ? "deactivated" : "active",
          ]),
          columns,
        ),
      );
    });
}

function defineTokens(token: Parameters<Define>[0], cli: Cli): void {
  verb(token, {
    name: "create",
    summary: "make a token that lets somebody register; it is shown this once",
    example: "homeserver token create --uses 1 --expires 24h --data ~/.local/share/mx-homeserver",
  })
    .option(...DATA)
    .option("--uses <count>", "for how many accounts; by default any number")
    .option("--expires <duration>", "for how long, as 24h; by default for ever")
    .action(async (flags: DataFlag & { uses?: string; expires?: string }) => {
      const { createRegistrationToken } = await import("@mx-agent/homeserver");
      const uses = flags.uses === undefined ? undefined : parseCount(flags.uses, "--uses", 1);
      const expires = flags.expires === undefined ? undefined : parseDuration(flags.expires, "--expires");
      const made = await createRegistrationToken(await dataOf(cli, flags), {
        ...(uses === undefined ? {} : { uses }),
        ...(expires === undefined ? {} : { expiresAt: Date.now() + expires }),
      });
      await answer(cli, flags, { token: made }, () => made);
    });
}

async function start(cli: Cli, flags: StartFlags): Promise<void> {
  if (flags.data === undefined && !flags.ephemeral)
    throw usage(
      "where shall it keep its data? give --data DIRECTORY, or --ephemeral to forget all",
      "homeserver start",
    );
  if (flags.data !== undefined && flags.ephemeral)
    throw usage("--data keeps everything and --ephemeral forgets it: say one of the two", "homeserver start");
  const dataDir = flags.data === undefined ? null : resolve(flags.data);
  const { parseRateLimits, startInBackground } = await import("@mx-agent/homeserver");
  const options: HomeserverOptions = {
    bind: parseBind(flags.bind),
    dataDir,
    name: flags.name,
    registration: "token",
    allowRemote: flags.allowRemote === true,
    behindProxy: flags.behindProxy === true,
    rateLimits: parseRateLimits(flags.limit),
  };
  if (flags.foreground || dataDir === null) return runHere(cli, flags, options);
  const { closeInherited } = await import("../background/descriptors.ts");
  const { withoutPassword } = await import("../background/environment.ts");
  closeInherited();
  const starting = startInBackground({
    dataDir,
    args: [
      ...process.execArgv,
      cli.entry,
      ...[
        "homeserver",
        "start",
        "--foreground",
        // Its last words, where it cannot start, are read from its log.
        "--json",
        "--data",
        dataDir,
        "--bind",
        flags.bind,
        "--name",
        flags.name,
      ],
      ...(flags.allowRemote ? ["--allow-remote"] : []),
      ...(flags.behindProxy ? ["--behind-proxy"] : []),
      ...flags.limit.flatMap((limit) => ["--limit", limit]),
      ...Array.from({ length: verbosityOf(cli) }, () => "-v"),
    ],
    env: withoutPassword(cli.env),
  });
  const running = await withProgress(cli, "starting the homeserver", starting);
  await answer(cli, flags, running, ({ url, pid }) => `the homeserver is running at ${url} (pid ${pid})`);
}

async function runHere(cli: Cli, flags: StartFlags, options: HomeserverOptions): Promise<void> {
  const { homeserverLogger, runHomeserver } = await import("@mx-agent/homeserver");
  const logger = homeserverLogger(cli.env, verbosityOf(cli));
  const ready = Promise.withResolvers<string>();
  const running = runHomeserver({ ...options, logger }, ready.resolve);
  const url = await Promise.race([ready.promise, running]);
  if (url !== undefined) {
    await answer(cli, flags, { url, pid: process.pid }, () => url);
    if (options.dataDir === null) await note(cli, "everything is forgotten when it stops");
  }
  await running;
}

async function passwordFor(cli: Cli, name: string, fromStdin: boolean): Promise<string> {
  if (fromStdin) return (await readLines(cli))[0] ?? "";
  const given = cli.env.MX_AGENT_PASSWORD;
  if (given !== undefined) return given;
  if (!cli.stdin.isTTY)
    throw usage(
      "no terminal to ask for the password: use --password-stdin or MX_AGENT_PASSWORD",
      "homeserver user add",
    );
  const password = await askSecret(cli, `Password for ${name}: `);
  if ((await askSecret(cli, "Once more: ")) !== password)
    throw usage("the two passwords differ", "homeserver user add");
  return password;
}

const usage = (detail: string, command: string) => mxError("MX_USAGE", { detail, command });
