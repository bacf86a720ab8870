import { answer, type JsonFlag } from "../answer.ts";
import { ask } from "../daemon.ts";
import { parseDuration } from "../parse/duration.ts";
import { AGENT, many, ROOM } from "../parse/options.ts";
import { roomOf, targetOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { renderAgent, renderAgents } from "../render/agent.ts";
import { type Define, verb } from "../verb.ts";
import { defineList } from "./tools.ts";

interface Flags extends JsonFlag {
  room?: string;
  agent?: string;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "register",
    summary: "make this machine an agent of a workspace",
    example: "agent register --room build-farm --agent builder",
  })
    .option(...ROOM)
    .option("--agent <agent>", "its name; by default that of the machine")
    .option("--kind <kind>", "what it is, for people", "daemon")
    .option("--cwd <directory>", "the project that it works on")
    .option("--capability <name>", "may be given several times", many, [])
    .action(async (flags: Flags & { kind: string; cwd?: string; capability: string[] }) => {
      const { resolve } = await import("node:path");
      const agent = await ask(cli, "agent.register", {
        room: roomOf(flags, await defaults(cli.env)),
        agent: flags.agent ?? null,
        kind: flags.kind,
        cwd: flags.cwd === undefined ? null : resolve(flags.cwd),
        capabilities: flags.capability,
      });
      await answer(cli, flags, agent, renderAgent);
    });

  verb(noun, {
    name: "list",
    summary: "agents of a workspace, or of all",
    example: "agent list --room build-farm --ping",
  })
    .option("--room <room>", "of this workspace alone")
    .option("--ping", "ask each of them whether it is there")
    .action(async (flags: Flags & { ping?: boolean }) => {
      const found = await ask(cli, "agent.list", { room: flags.room ?? null, ping: flags.ping === true });
      await answer(cli, flags, found, renderAgents);
    });

  verb(noun, {
    name: "show",
    summary: "one agent in full",
    example: "agent show --room build-farm --agent builder",
  })
    .option(...ROOM)
    .option(...AGENT)
    .action(async (flags: Flags) => {
      const target = targetOf(flags, await defaults(cli.env));
      await answer(cli, flags, await ask(cli, "agent.show", target), renderAgent);
    });

  verb(noun, {
    name: "unregister",
    summary: "take this machine's agent out of a workspace",
    example: "agent unregister --room build-farm --agent builder",
  })
    .option(...ROOM)
    .requiredOption("--agent <agent>", "its name")
    .action(async (flags: Flags & { agent: string }) => {
      const room = roomOf(flags, await defaults(cli.env));
      const done = await ask(cli, "agent.unregister", { room, agent: flags.agent });
      await answer(cli, flags, done, () => `${done.agent_id} is no agent of ${done.room_id} any more`);
    });

  verb(noun, {
    name: "ping",
    summary: "whether an agent answers now",
    example: "agent ping --room build-farm --agent builder",
  })
    .option(...ROOM)
    .option(...AGENT)
    .option("--timeout <duration>", "how long to wait", "10s")
    .action(async (flags: Flags & { timeout: string }) => {
      const target = targetOf(flags, await defaults(cli.env));
      const timeout_ms = parseDuration(flags.timeout, "--timeout");
      const pong = await ask(cli, "agent.ping", { ...target, timeout_ms });
      await answer(
        cli,
        flags,
        pong,
        () => `${pong.agent_id} answered in ${Math.round(pong.round_trip_ms)} ms`,
      );
    });

  defineList(noun, cli, {
    name: "tools",
    summary: "the tools of an agent, or of all agents of a workspace",
    example: "agent tools --room build-farm --agent builder",
  });
};
