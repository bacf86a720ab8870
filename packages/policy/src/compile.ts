/** From the document to the policy in force: names found on the machine, patterns compiled, mistakes told. */
import { denyCodes, isDenyCode } from "./codes.ts";
import type { Machine } from "./machine.ts";
import type {
  AllowedCommand,
  AllowedDirectory,
  ApprovalRule,
  Entry,
  LoadedPolicy,
  Room,
  Tool,
  ToolSelector,
} from "./model.ts";
import { parseDocument } from "./parse.ts";
import { absolutePath, isInside } from "./paths.ts";
import { compilePattern, type Pattern } from "./patterns.ts";
import type { KeyPath } from "./positions.ts";
import type { Report } from "./problems.ts";
import type { AgentTable, Document, RoomTable, TestTable } from "./schema.ts";
import { compileExecution, compileSettings, type Execution, type ShowPaths } from "./settings.ts";
import { didYouMean } from "./suggest.ts";
import { compileTool, parseSelector } from "./tools.ts";

/**
 * Reads a policy. `text` is null where there is no file; `file` is how it is called in messages.
 * Commands and directories are looked up on `machine` now, once: what is found is what is allowed.
 * Never throws: a malformed policy is a state, and one that denies everything.
 */
export function loadPolicy(text: string | null, file: string, machine: Machine): LoadedPolicy {
  if (text === null) return { state: "missing", file };
  const parsed = parseDocument(text, file);
  const { report } = parsed;
  const policy = parsed.ok ? new Compiler(parsed.document, report, machine).policy() : null;
  if (policy === null || report.problems.length > 0) {
    const problems = report.problems.toSorted((a, b) => a.line - b.line);
    return { state: "invalid", file, problems };
  }
  return { state: "ok", file, policy };
}

const userId = /^@[^\s:]*:[^\s]+$/;
const groupName = /^[A-Za-z0-9_.-]{1,64}$/;

class Compiler {
  readonly #document: Document;
  readonly #report: Report;
  readonly #machine: Machine;
  readonly #groups = new Map<string, Set<string>>();
  readonly #usedGroups = new Set<string>();
  readonly #tools = new Map<string, Tool>();
  readonly #show: ShowPaths = (list, path) =>
    this.#list(list, path, (written, at) => this.#shown(written, at));
  readonly #execution: Execution;

  constructor(document: Document, report: Report, machine: Machine) {
    this.#document = document;
    this.#report = report;
    this.#machine = machine;
    this.#execution = compileExecution(document.execution ?? {}, report, this.#show);
  }

  policy() {
    const document = this.#document;
    for (const [name, members] of Object.entries(document.groups ?? {})) this.#group(name, members);
    for (const [name, table] of Object.entries(document.tools ?? {})) {
      const tool = compileTool(name, table, ["tools", name], this.#report, {
        command: (written, path) => this.#command(written, path),
        directory: (written, path) => this.#directory(written, path),
      });
      if (tool) this.#tools.set(name, tool);
    }
    const rooms = new Map<string, Room>();
    for (const [id, table] of Object.entries(document.rooms ?? {})) rooms.set(id, this.#room(id, table));
    for (const name of this.#groups.keys()) {
      if (!this.#usedGroups.has(name))
        this.#report.warn("unused", ["groups", name], "nothing names this group");
    }
    const required = document.execution?.require_sandbox === true;
    return {
      file: this.#report.file,
      legacy: document.version === undefined,
      requireSandbox: required ? { rule: this.#report.rule(["execution", "require_sandbox"]) } : null,
      rooms,
      groups: this.#groups,
      tools: this.#tools,
      tests: (document.test ?? []).map((table, index) => this.#test(table, ["test", index])),
      warnings: this.#report.warnings,
      place: (path: KeyPath) => this.#report.place(path),
    };
  }

  #test(table: TestTable, path: KeyPath) {
    const { command, tool, args } = table.request;
    if ((command === undefined) === (tool === undefined)) {
      this.#report.add([...path, "request"], "must have a command or a tool, and not both");
    }
    if (args !== undefined && tool === undefined)
      this.#report.add([...path, "request", "args"], "args are for a tool");
    const code = table.expect.startsWith("deny:") ? table.expect.slice("deny:".length) : null;
    const known = code === null ? ["allow", "hold", "deny"].includes(table.expect) : isDenyCode(code);
    if (!known) {
      const hint =
        code === null
          ? didYouMean(table.expect, ["allow", "hold", "deny"])
          : didYouMean(code, Object.keys(denyCodes));
      this.#report.add(
        [...path, "expect"],
        `must be allow, hold, deny or deny:CODE, and is ${JSON.stringify(table.expect)}${hint}`,
      );
    }
    return { table, place: this.#report.place(path) };
  }

  #group(name: string, members: string[]): void {
    if (!groupName.test(name))
      this.#report.add(["groups", name], "a group's name is 1 to 64 letters, digits, `_`, `.` and `-`");
    for (const [index, member] of members.entries()) {
      if (!userId.test(member)) {
        this.#report.add(
          ["groups", name, index],
          `${JSON.stringify(member)} is no Matrix user such as "@alice:example.org"`,
        );
      }
    }
    this.#groups.set(name, new Set(members));
  }

  #room(id: string, table: RoomTable): Room {
    const path = ["rooms", id];
    if (!/^![^\s]+$/.test(id)) {
      this.#report.add(
        path,
        `${JSON.stringify(id)} is no room id: those begin with "!" (\`mx-agent workspace list\` shows them)`,
      );
    }
    return {
      id,
      rule: this.#report.rule(path),
      trusted: table.trusted === true,
      requireVerifiedDevice: table.require_verified_device === true,
      approvers: (table.approvers ?? []).flatMap((who, index) =>
        this.#users(who, [...path, "approvers", index]),
      ),
      entries: Object.entries(table.agents ?? {})
        .map(([subject, agent]) => this.#entry(subject, agent, [...path, "agents", subject], table))
        .toSorted((a, b) => a.rank - b.rank),
    };
  }

  #users(who: string, path: KeyPath): string[] {
    if (userId.test(who)) return [who];
    return [...(this.#groupNamed(who, path) ?? [])];
  }

  #groupNamed(who: string, path: KeyPath): ReadonlySet<string> | null {
    const name = who.startsWith("group:") ? who.slice("group:".length) : null;
    const members = name === null ? undefined : this.#groups.get(name);
    if (name !== null) this.#usedGroups.add(name);
    if (members) return members;
    this.#report.add(
      path,
      name === null
        ? `${JSON.stringify(who)} is neither a Matrix user such as "@alice:example.org" nor "group:NAME"`
        : `there is no group ${JSON.stringify(name)}${didYouMean(name, this.#groups.keys())}`,
    );
    return null;
  }

  #entry(subject: string, table: AgentTable, path: KeyPath, room: RoomTable): Entry {
    const report = this.#report;
    const rank = subject === "*" ? 2 : userId.test(subject) ? 0 : 1;
    if (rank === 1) this.#groupNamed(subject, path);
    const settings = compileSettings(table, path, this.#execution, report, this.#show);
    return {
      path,
      subject,
      rank,
      allowExec: table.allow_exec ?? room.raw_exec_default === "allow",
      commands: this.#list(table.allow_commands, [...path, "allow_commands"], (written, at) =>
        this.#command(written, at),
      ),
      directories: this.#list(table.allow_cwd, [...path, "allow_cwd"], (written, at) =>
        settings.sandbox === "none" ? this.#directory(written, at) : this.#shownDirectory(written, at),
      ),
      denyArguments: this.#list(table.deny_args_regex, [...path, "deny_args_regex"], (source, at) =>
        this.#pattern(source, at),
      ),
      tools: this.#list(table.allow_tools, [...path, "allow_tools"], (written, at) =>
        this.#selector(written, at),
      ),
      approval: this.#approval(table.requires_approval ?? false, [...path, "requires_approval"]),
      requireVerifiedDevice: table.require_verified_device === true,
      allowUnsandboxed: table.allow_unsandboxed === true,
      settings,
      rule: (key) => report.rule(key !== undefined && Object.hasOwn(table, key) ? [...path, key] : path),
    };
  }

  #list<T>(
    items: string[] | undefined,
    path: KeyPath,
    compile: (item: string, path: KeyPath) => T | null,
  ): T[] {
    return (items ?? []).flatMap((item, index) => compile(item, [...path, index]) ?? []);
  }

  #approval(
    value: Exclude<AgentTable["requires_approval"], undefined>,
    path: KeyPath,
  ): true | ApprovalRule[] {
    if (value === true) return true;
    return (value || []).flatMap((rule, index): ApprovalRule[] => {
      const at = [...path, index];
      const args = rule.args ?? [];
      if (rule.tool !== undefined) {
        if (rule.command !== undefined || rule.args !== undefined)
          this.#report.add(at, "has a tool, and a command or args: say one");
        const selector = this.#selector(rule.tool, [...at, "tool"]);
        return selector ? [{ kind: "tool", selector }] : [];
      }
      if (rule.command === undefined && args.length === 0) {
        this.#report.add(
          at,
          "must name a command, args or a tool; to hold everything write requires_approval = true",
        );
        return [];
      }
      if (rule.command === undefined) return [{ kind: "arguments", args }];
      const command = this.#command(rule.command, [...at, "command"]);
      return command ? [{ kind: "command", command, args }] : [];
    });
  }

  #selector(written: string, path: KeyPath): ToolSelector | null {
    const selector = parseSelector(written);
    if (!selector) this.#report.add(path, `${JSON.stringify(written)} is neither NAME nor NAME@VERSION`);
    return selector;
  }

  #pattern(source: string, path: KeyPath): Pattern | null {
    try {
      return compilePattern(source);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#report.add(path, `is no RE2 pattern (${why}); RE2 has no look-around and no back-references`);
      return null;
    }
  }

  #command(written: string, path: KeyPath): AllowedCommand | null {
    const name = written.includes("/") ? absolutePath(written, this.#machine.home) : written;
    if (
      name === null ||
      /[\0*?]/.test(written) ||
      written.trim() !== written ||
      written === "." ||
      written === ".."
    ) {
      this.#report.add(
        path,
        `${JSON.stringify(written)} must be a bare name or an absolute path; there are no wildcards, and arguments go elsewhere`,
      );
      return null;
    }
    const found = this.#machine.resolveCommand(name, null);
    if (!found)
      this.#report.warn(
        "not_found",
        path,
        `${JSON.stringify(written)} is not there, and allows nothing until the policy is loaded again`,
      );
    return { written, found };
  }

  #directory(written: string, path: KeyPath): AllowedDirectory | null {
    const absolute = absolutePath(written, this.#machine.home);
    if (absolute === null) {
      this.#report.add(path, notAbsolute(written));
      return null;
    }
    const found = this.#machine.resolveDirectory(absolute);
    if (!found)
      this.#report.warn("not_found", path, `${JSON.stringify(written)} is no directory that can be entered`);
    return { written, path: found?.path ?? absolute, found };
  }

  /** A directory that a sandbox will show. */
  #shownDirectory(written: string, path: KeyPath): AllowedDirectory | null {
    const directory = this.#directory(written, path);
    if (directory) this.#refusePrivate(directory.path, written, path);
    return directory;
  }

  /** A path that is not there is left out: a sandbox can show only what is. */
  #shown(written: string, path: KeyPath): string | null {
    const absolute = absolutePath(written, this.#machine.home);
    if (absolute === null) {
      this.#report.add(path, notAbsolute(written));
      return null;
    }
    const { resolvePath } = this.#machine;
    const real = resolvePath
      ? resolvePath(absolute)
      : (this.#machine.resolveDirectory(absolute)?.path ?? null);
    this.#refusePrivate(real ?? absolute, written, path);
    if (real === null)
      this.#report.warn(
        "not_found",
        path,
        `${JSON.stringify(written)} is not there, and is not shown until the policy is loaded again`,
      );
    return real;
  }

  #refusePrivate(real: string, written: string, path: KeyPath): void {
    const found = this.#machine.private_paths?.find(
      (hidden) => isInside(real, hidden) || isInside(hidden, real),
    );
    if (found === undefined) return;
    this.#report.add(
      path,
      `${JSON.stringify(written)} ${isInside(real, found) ? "lies in" : "holds"} ${found}, which no run may see: name a deeper directory`,
    );
  }
}

function notAbsolute(written: string): string {
  return `${JSON.stringify(written)} must be an absolute path without . and ..`;
}
