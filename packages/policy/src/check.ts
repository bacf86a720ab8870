/** `policy check`: what a policy may say, and an operator should know that it says. */

import { isSecretName, isSteeringName } from "@mx-agent/base";
import { nearest, viewOf } from "./grant.ts";
import type { Machine } from "./machine.ts";
import type { Entry, LoadedPolicy, Policy, Room } from "./model.ts";
import type { KeyPath } from "./positions.ts";
import type { Warning } from "./problems.ts";
import { wholeArguments } from "./template.ts";
import { isVagueInput } from "./tool-input.ts";
import { selects } from "./tools.ts";

/** What this machine can do, as the sandbox package finds it by trying. */
export interface Capabilities {
  bubblewrap: { available: true } | { available: false; reason: string };
  limits: { kind: "cgroup" } | { kind: "watch"; reason: string };
}

/** Warnings about a policy that loads, in the order of its lines; a policy that does not load has problems instead. */
export function checkPolicy(loaded: LoadedPolicy, machine: Machine, capabilities: Capabilities): Warning[] {
  if (loaded.state !== "ok") return [];
  const { policy } = loaded;
  const warnings: Warning[] = [...policy.warnings];
  const warn: Warn = (code, path, message) => warnings.push({ code, ...policy.place(path), message });
  if (policy.legacy) {
    warn(
      "first_implementation",
      [],
      "has no `version`, and is read as a file of the first implementation: `deny_args_regex` denies where it matches anywhere; commands are compared by their real path and not by their last name; a run has limits even where none is written. Add `version = 1` once its patterns match whole arguments",
    );
  }
  for (const room of policy.rooms.values()) {
    for (const entry of room.entries) checkEntry(entry, room, policy, warn);
    checkOverlaps(room, policy, warn);
  }
  checkTools(policy, warn);
  checkWritable(policy, machine, warn);
  checkCapabilities(policy, capabilities, warn);
  return warnings.toSorted((a, b) => a.line - b.line);
}

type Warn = (code: Warning["code"], path: KeyPath, message: string) => void;

/** Programs that run other programs, or code out of their arguments and files: allowing one allows anything. */
const launchers = new Set(
  `sh bash dash zsh fish ksh csh tcsh busybox env nice nohup timeout setsid stdbuf xargs find parallel watch script
  node nodejs deno bun npm npx pnpm yarn corepack python python2 python3 pip pip3 pipx uv uvx perl ruby irb gem bundle
  rake php lua awk gawk mawk sed java javac kotlin scala groovy gradle mvn ant go cargo rustc make gmake cmake ninja
  meson bazel just git hg svn ssh scp sftp rsync sudo doas su pkexec docker podman kubectl systemd-run systemctl at
  crontab screen tmux vi vim nvim emacs nano less more man tar zip gdb strace ltrace unshare nsenter chroot bwrap expect
  tclsh wish R Rscript julia ghc erl elixir mix osascript`.split(/\s+/),
);

function isLauncher(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return launchers.has(name) || launchers.has(name.replace(/[-.]?\d[\d.]*$/, ""));
}

function checkEntry(entry: Entry, room: Room, policy: Policy, warn: Warn): void {
  const at = (key: string): KeyPath => [...entry.path, key];
  const { settings } = entry;
  if (settings.sandbox === "none") {
    if (policy.requireSandbox) warn("unsandboxed", at("sandbox"), "is refused: require_sandbox is true");
    else if (!entry.allowUnsandboxed) {
      warn(
        "unsandboxed",
        at("sandbox"),
        "is refused: without a sandbox a command is the operator, which needs allow_unsandboxed = true here",
      );
    } else {
      warn(
        "unsandboxed",
        at("allow_unsandboxed"),
        `whatever ${who(entry)} may run here runs as you, with your files and your network, and can have others start what outlives it (systemd-run, at, docker)`,
      );
      for (const [index, command] of entry.commands.entries()) {
        const names = [command.written, command.found?.path ?? "", command.found?.target.path ?? ""];
        if (names.some(isLauncher)) {
          warn(
            "launcher",
            [...at("allow_commands"), index],
            `${JSON.stringify(command.written)} runs whatever it is told, and here without a sandbox: this allows everything`,
          );
        }
      }
    }
  } else if (entry.allowUnsandboxed) {
    warn("unused", at("allow_unsandboxed"), 'does nothing without sandbox = "none"');
  }
  if (entry.allowExec && !room.trusted)
    warn("unused", at("allow_exec"), "allows nothing: the room is not trusted = true");
  if (entry.allowExec && entry.commands.length === 0)
    warn("unused", at("allow_exec"), "allows nothing: allow_commands is empty");
  if (entry.commands.length > 0 && !entry.allowExec)
    warn("unused", at("allow_commands"), "allows nothing: allow_exec is not true");
  if (entry.commands.length > 0 && entry.directories.length === 0)
    warn("unused", at("allow_commands"), "allows nothing: allow_cwd is empty");
  for (const [index, selector] of entry.tools.entries()) {
    if (![...policy.tools.values()].some((tool) => selects(selector, tool))) {
      warn("not_found", [...at("allow_tools"), index], "no [tools] table is this tool in this version");
    }
  }
  for (const [index, name] of settings.envAllowlist.entries()) {
    if (isSecretName(name))
      warn(
        "environment",
        [...at("env_allowlist"), index],
        `${name} is a name of secrets, and is dropped all the same`,
      );
    else if (isSteeringName(name))
      warn(
        "environment",
        [...at("env_allowlist"), index],
        `${name} is inherited from the daemon, and never taken from a peer: it could steer which program runs`,
      );
  }
  if ((entry.approval === true || entry.approval.length > 0) && room.approvers.length === 0) {
    warn(
      "unused",
      at("requires_approval"),
      "the room has no approvers: only you, on this machine, can release what is held",
    );
  }
}

function who(entry: Entry): string {
  return entry.subject === "*" ? "everybody in the room" : entry.subject;
}

/** Entries add up: where two of them name one user and one command, the wider of each limit holds. */
function checkOverlaps(room: Room, policy: Policy, warn: Warn): void {
  for (const [index, entry] of room.entries.entries()) {
    for (const wider of room.entries.slice(index + 1)) {
      if (!overlaps(entry, wider, policy)) continue;
      const shared = entry.commands.find((command) =>
        wider.commands.some((other) => sameCommand(command.found, other.found)),
      );
      if (!shared || JSON.stringify(entry.settings) === JSON.stringify(wider.settings)) continue;
      warn(
        "overlap",
        entry.path,
        `adds to ${wider.rule()}: both allow ${JSON.stringify(shared.written)}, and the wider of each limit holds`,
      );
    }
  }
}

function overlaps(a: Entry, b: Entry, policy: Policy): boolean {
  const members = (entry: Entry) =>
    entry.rank === 1
      ? (policy.groups.get(entry.subject.slice("group:".length)) ?? new Set())
      : new Set([entry.subject]);
  return b.rank === 2 || a.rank === 2 || [...members(a)].some((user) => members(b).has(user));
}

function sameCommand(a: { path: string } | null, b: { path: string } | null): boolean {
  return a !== null && a.path === b?.path;
}

function checkTools(policy: Policy, warn: Warn): void {
  for (const tool of policy.tools.values()) {
    const path = ["tools", tool.name];
    const entries = [...policy.rooms.values()].flatMap((room) => room.entries);
    if (!entries.some((entry) => entry.tools.some((selector) => selects(selector, tool)))) {
      warn("unused", path, "no entry's allow_tools has it");
    }
    if (tool.inputSchema.additionalProperties !== false) {
      warn(
        "tool_input",
        [...path, "input"],
        "takes any other argument too; say additionalProperties = false",
      );
    }
    for (const property of new Set(tool.template.flatMap(wholeArguments))) {
      if (isVagueInput(tool.inputSchema, property)) {
        warn(
          "tool_input",
          [...path, "input", "properties", property],
          `fills an argument alone, and may begin with "-": a caller could pass an option. Give it a pattern or an enum, or write the argument as "--name={${property}}"`,
        );
      }
    }
  }
}

/** A run that can write where a command is found could put another program there. */
function checkWritable(policy: Policy, machine: Machine, warn: Warn): void {
  const entries = [...policy.rooms.values()].flatMap((room) => room.entries);
  const views = entries
    .filter((entry) => entry.settings.sandbox !== "none")
    .flatMap((entry) => projectsOf(entry, policy).map((project) => viewOf(entry.settings, project)));
  const around = (path: string) =>
    views.map((view) => nearest(view, path)).find((found) => found?.writable)?.path;
  const check = (found: { path: string; target: { path: string } } | null, path: KeyPath): void => {
    const directory = found && (around(found.path) ?? around(found.target.path));
    if (!directory) return;
    warn(
      "writable_command",
      path,
      `lies in ${directory}, where runs may write: a run could change what is allowed`,
    );
  };
  for (const entry of entries) {
    for (const [index, command] of entry.commands.entries())
      check(command.found, [...entry.path, "allow_commands", index]);
  }
  for (const tool of policy.tools.values()) check(tool.command.found, ["tools", tool.name, "command"]);
  for (const directory of machine.path.split(":")) {
    const found = directory.startsWith("/")
      ? around(machine.resolveDirectory(directory)?.path ?? directory)
      : undefined;
    if (found)
      warn(
        "writable_command",
        [],
        `${directory} is in the daemon's PATH and lies in ${found}, where runs may write`,
      );
  }
}

/** Where runs of an entry have their working directory. */
function projectsOf(entry: Entry, policy: Policy): string[] {
  const tools = [...policy.tools.values()].filter((tool) => entry.tools.some((one) => selects(one, tool)));
  return [...entry.directories, ...tools.map((tool) => tool.directory)].map(({ path }) => path);
}

function checkCapabilities(policy: Policy, { bubblewrap, limits }: Capabilities, warn: Warn): void {
  const entries = [...policy.rooms.values()].flatMap((room) => room.entries);
  const sandboxed = entries.find((entry) => entry.settings.sandbox === "bubblewrap");
  if (sandboxed && !bubblewrap.available) {
    warn(
      "machine",
      sandboxed.path,
      `every run of it is refused: bubblewrap cannot be used here (${bubblewrap.reason})`,
    );
  }
  const limited = entries.find(
    ({ settings }) => settings.maxMemoryBytes !== null || settings.maxProcesses !== null,
  );
  if (limited && limits.kind === "watch") {
    warn(
      "machine",
      limited.path,
      `limits of memory and processes are watched here, not enforced by the kernel (${limits.reason}): a run can pass them for a moment`,
    );
  }
}
