import { answer, type JsonFlag } from "../answer.ts";
import { ask } from "../daemon.ts";
import { parseCount } from "../parse/count.ts";
import { many, ROOM } from "../parse/options.ts";
import { roomOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { renderMembers, renderWorkspace, renderWorkspaces } from "../render/workspace.ts";
import { type Define, verb } from "../verb.ts";
import { defineWorkspaceKeys } from "./workspace-keys.ts";
import { defineWorkspaceStatus } from "./workspace-status.ts";

interface RoomFlag extends JsonFlag {
  room?: string;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "create <name>",
    summary: "make a workspace, encrypted unless told otherwise",
    example: "workspace create build-farm --invite @ci:example.org",
  })
    .option("--alias <alias>", "a name that others can join by")
    .option("--invite <user>", "may be given several times", many, [])
    .option("--no-e2ee", "make a room that the homeserver can read")
    .action(async (name: string, flags: JsonFlag & { alias?: string; invite: string[]; e2ee: boolean }) => {
      const made = await ask(cli, "workspace.create", {
        name,
        alias: flags.alias ?? null,
        invite: flags.invite,
        encrypted: flags.e2ee,
      });
      await answer(cli, flags, made, renderWorkspace);
    });

  verb(noun, {
    name: "list",
    summary: "workspaces of this account, and invitations",
    example: "workspace list",
  }).action(async (flags: JsonFlag) =>
    answer(cli, flags, await ask(cli, "workspace.list", {}), renderWorkspaces),
  );

  verb(noun, {
    name: "invite <user>",
    summary: "invite a user into a workspace",
    example: "workspace invite @bob:example.org --room build-farm",
  })
    .option(...ROOM)
    .action(async (user: string, flags: RoomFlag) => {
      const room = roomOf(flags, await defaults(cli.env));
      const done = await ask(cli, "workspace.invite", { room, user });
      await answer(cli, flags, done, () => `${done.user_id} is invited to ${done.room_id}`);
    });

  verb(noun, {
    name: "join <room>",
    summary: "join a workspace by id or alias",
    example: "workspace join '#build-farm:example.org'",
  })
    .option("--via <server>", "a server that knows the room; may be given several times", many, [])
    .option("--no-e2ee", "accept a room that the homeserver can read")
    .action(async (room: string, flags: JsonFlag & { via: string[]; e2ee: boolean }) => {
      const joined = await ask(cli, "workspace.join", { room, encrypted: flags.e2ee, via: flags.via });
      await answer(cli, flags, joined, renderWorkspace);
    });

  verb(noun, {
    name: "accept <room>",
    summary: "accept an invitation",
    example: "workspace accept build-farm",
  })
    .option("--no-e2ee", "accept a room that the homeserver can read")
    .action(async (room: string, flags: JsonFlag & { e2ee: boolean }) => {
      const joined = await ask(cli, "workspace.accept", { room, encrypted: flags.e2ee });
      await answer(cli, flags, joined, renderWorkspace);
    });

  verb(noun, {
    name: "leave <room>",
    summary: "leave a workspace",
    example: "workspace leave build-farm",
  }).action(async (room: string, flags: JsonFlag) => {
    const left = await ask(cli, "workspace.leave", { room });
    await answer(cli, flags, left, ({ room_id }) => `left ${room_id}`);
  });

  verb(noun, {
    name: "members",
    summary: "who is in a workspace",
    example: "workspace members --room build-farm",
  })
    .option(...ROOM)
    .action(async (flags: RoomFlag) => {
      const room = roomOf(flags, await defaults(cli.env));
      await answer(cli, flags, await ask(cli, "workspace.members", { room }), renderMembers);
    });

  verb(noun, {
    name: "grant <user>",
    summary: "give a member a power level; 50 lets it register agents",
    example: "workspace grant @bob:example.org --level 50 --room build-farm",
  })
    .option(...ROOM)
    .option("--level <number>", "0 to 100", "50")
    .action(async (user: string, flags: RoomFlag & { level: string }) => {
      const room = roomOf(flags, await defaults(cli.env));
      const power_level = parseCount(flags.level, "--level");
      const done = await ask(cli, "workspace.grant", { room, user, power_level });
      await answer(cli, flags, done, () => `${done.user_id} has power level ${done.power_level}`);
    });

  defineWorkspaceStatus(noun, cli);
  defineWorkspaceKeys(noun, cli);

  verb(noun, {
    name: "attach [path]",
    summary: "say which project a workspace is about: its git remote, branch and commit",
    example: "workspace attach . --room build-farm",
  })
    .option(...ROOM)
    .action(async (path: string | undefined, flags: RoomFlag) => {
      const { resolve } = await import("node:path");
      const room = roomOf(flags, await defaults(cli.env));
      const done = await ask(cli, "workspace.attach", { room, path: resolve(path ?? ".") });
      await answer(cli, flags, done, () => `${done.room_id} is about ${done.project_id}`);
    });

  verb(noun, {
    name: "upgrade",
    summary: "add power levels of event types that came with a later version",
    example: "workspace upgrade --room build-farm",
  })
    .option(...ROOM)
    .action(async (flags: RoomFlag) => {
      const room = roomOf(flags, await defaults(cli.env));
      const done = await ask(cli, "workspace.upgrade", { room });
      await answer(cli, flags, done, ({ added }) =>
        added.length === 0 ? "nothing to add" : `added: ${added.join(", ")}`,
      );
    });
};
