import { resolve } from "node:path";
import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag } from "../answer.ts";
import { ask } from "../daemon.ts";
import { many } from "../parse/options.ts";
import { defaults, directories, policyFile } from "../places.ts";
import { renderExplanation } from "../render/policy.ts";
import { type Define, setExit, verb } from "../verb.ts";
import { definePolicyAllow } from "./policy-allow.ts";

/** EX_CONFIG: the file denies everything, or says what it should not. */
const INVALID = 78;
/** A [[test]] of the file failed. */
const TEST_FAILED = 65;

interface ExplainFlags extends JsonFlag {
  room?: string;
  user?: string;
  agent?: string;
  cwd?: string;
  env: string[];
  tool?: string;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "check [file]",
    summary: "find mistakes in a policy, and what it should not say",
    example: "policy check",
    more: "Exit status 78 when the file is not valid, and denies everything. Warnings leave it at 0.",
  }).action(async (file: string | undefined, flags: JsonFlag) => {
    const { checkPolicyFile } = await import("../policy/local.ts");
    const { capabilitiesOf } = await import("../policy/capabilities.ts");
    const found = await checkPolicyFile(cli.env, fileOf(file), await capabilitiesOf(cli));
    await answer(cli, flags, found, ({ state, problems, warnings }) => {
      const lines = [...problems, ...warnings.map((warning) => `warning: ${warning}`)];
      return [
        ...lines,
        state === "ok" ? `${found.file}: ok` : `${found.file}: ${state}; everything is denied`,
      ].join("\n");
    });
    if (found.state === "invalid") setExit(cli, INVALID);
  });

  verb(noun, {
    name: "explain [words...]",
    summary: "why a request was or would be allowed, held or denied here",
    example: "policy explain req_01JZ3V5Q8K9M2N4P6R7S8T9V0W",
    more:
      "Names a recorded request, or describes one:\n" +
      "  mx-agent policy explain --room build-farm --user @ci:example.org --cwd /srv -- git push",
  })
    .option("--room <room>", "in this workspace")
    .option("--user <user>", "asked by this user")
    .option("--agent <agent>", "with this agent's key")
    .option("--cwd <directory>", "in this directory")
    .option("--env <name>", "setting this variable; may be given several times", many, [])
    .option("--tool <name>", "a call of this tool instead of a command")
    .action(async (words: string[], flags: ExplainFlags) => {
      const explanation = await ask(cli, "policy.explain", await questionOf(words, flags));
      await answer(cli, flags, explanation, renderExplanation);
    });

  verb(noun, {
    name: "test [file]",
    summary: "run the [[test]] blocks of a policy",
    example: "policy test policy/ci-runner.toml",
    more: "Exit status 65 when one fails, 78 when the file is not valid.",
  })
    .option("--assume", "as if every command and directory that it names were on this machine")
    .action(async (file: string | undefined, flags: JsonFlag & { assume?: boolean }) => {
      const { testPolicyFile } = await import("../policy/local.ts");
      const found = await testPolicyFile(cli.env, fileOf(file), flags.assume === true);
      await answer(cli, flags, found, ({ problems, tests }) => {
        const lines = tests.map(({ name, passed, expected, actual, line }) =>
          passed ? `ok      ${name}` : `FAILED  ${name} (line ${line}): expected ${expected}, got ${actual}`,
        );
        const failed = tests.filter(({ passed }) => !passed).length;
        return [...problems, ...lines, `${tests.length - failed} passed, ${failed} failed`].join("\n");
      });
      if (found.state === "invalid") setExit(cli, INVALID);
      else if (found.tests.some(({ passed }) => !passed)) setExit(cli, TEST_FAILED);
    });

  verb(noun, {
    name: "init",
    summary: "write a commented policy that allows nothing",
    example: "policy init",
    more: "A file that is there is never overwritten.",
  }).action(async (flags: JsonFlag) => {
    const { initPolicyFile } = await import("../policy/local.ts");
    const file = policyFile(cli.env);
    await initPolicyFile(directories(cli.env).config, file);
    await answer(cli, flags, { file }, () => `${file} allows nothing yet; it says how`);
  });

  definePolicyAllow(noun, cli);

  const fileOf = (file: string | undefined) => (file === undefined ? policyFile(cli.env) : resolve(file));

  async function questionOf(words: string[], flags: ExplainFlags) {
    const described = flags.room !== undefined || flags.user !== undefined || flags.tool !== undefined;
    if (!described) {
      const [request_id, ...rest] = words;
      if (request_id === undefined || rest.length > 0)
        throw usage("name one request, or describe one with --room, --user and a command after --");
      return { request_id };
    }
    const room = flags.room ?? (await defaults(cli.env)).room;
    if (room === undefined) throw usage("in which workspace? give --room");
    if (flags.user === undefined) throw usage("asked by whom? give --user");
    if (words.length === 0 && flags.tool === undefined) throw usage("which command? give it after --");
    return {
      room,
      user: flags.user,
      agent: flags.agent ?? null,
      command: words,
      cwd: flags.cwd ?? null,
      env: flags.env,
      tool: flags.tool ?? null,
    };
  }
};

const usage = (detail: string) => mxError("MX_USAGE", { detail, command: "policy explain" });
