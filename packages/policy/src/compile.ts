import { Lookup } from "./lookup.ts";
import type { Machine } from "./machine.ts";
import type { ApprovalRule, Entry, LoadedPolicy, Room, Tool, ToolSelector } from "./model.ts";
import { parseDocument } from "./parse.ts";
import { compilePattern, type Pattern } from "./patterns.ts";
import type { KeyPath } from "./positions.ts";
import type { Report } from "./problems.ts";
import type { AgentTable, Document, RoomTable } from "./schema.ts";
import { compileExecution, compileSettings, type Execution, type ShowPaths } from "./settings.ts";
import { didYouMean } from "./suggest.ts";
import { compileTest } from "./test-block.ts";
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
  readonly #lookup: Lookup;
  readonly #groups = new Map<string, Set<string>>();
  readonly #usedGroups = new Set<string>();
  readonly #tools = new Map<string, Tool>();
  readonly #show: ShowPaths = (list, path) =>
    this.#list(list, path, (written, at) => this.#lookup.shown(written, at));
  readonly #execution: Execution;

  constructor(document: Document, report: Report, machine: Machine) {
    this.#document = document;
    this.#report = report;
    this.#lookup = new Lookup(report, machine);
    this.#execution = compileExecution(document.execution ?? {}, report, this.#show);
  }

  policy() {
    const document = this.#document;
    for (const [name, members] of Object.entries(document.groups ?? {})) this.#group(name, members);
    for (const [name, table] of Object.entries(document.tools ?? {})) {
      const tool = compileTool(name, table, ["tools", name], this.#report, {
        command: (written, path) => this.#lookup.command(written, path),
        directory: (written, path) => this.#lookup.shownDirectory(written, path),
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
      tests: (document.test ?? []).map((table, index) => compileTest(table, ["test", index], this.#report)),
      warnings: this.#report.warnings,
      place: (path: KeyPath) => this.#report.place(path),
    };
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
        this.#lookup.command(written, at),
      ),
      directories: this.#list(table.allow_cwd, [...path, "allow_cwd"], (written, at) =>
        settings.sandbox === "none"
          ? this.#lookup.directory(written, at)
          : this.#lookup.shownDirectory(written, at),
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
      const command = this.#lookup.command(rule.command, [...at, "command"]);
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
}
