import { basename } from "node:path";
import type { BubblewrapFeature, SandboxRequest } from "./api.ts";
import { privateHome } from "./home.ts";
import { policyMounts } from "./mounts.ts";
import {
  FIRST_OPENED_FD,
  GATE_FD,
  OPTIONS_FD,
  type OpenedPath,
  type SandboxContext,
  type SandboxPlan,
  type SandboxRefusal,
  STATUS_FD,
} from "./plan.ts";
import {
  isWithin,
  KERNEL_PATHS,
  PRIVATE_DIRECTORIES,
  RESOLVER_PATHS,
  ROOT_PROC_DIRECTORIES,
  ROOT_PROC_FILES,
  ROOT_SECRETS,
  SYSTEM_PATHS,
} from "./view.ts";

type BubblewrapRequest = Extract<SandboxRequest, { backend: "bubblewrap" }>;

/** Where a program of another name is linked to, for launchers that cannot set argv[0]. */
const NAME_DIRECTORY = "/run/mx-agent-argv0";

/** What no sandbox goes without, and what brings it. */
const NEEDED: readonly (readonly [BubblewrapFeature, string])[] = [
  ["bind_fd", "--bind-fd; a security update of 2024 brings it"],
  ["disable_userns", "--disable-userns, so that a command could make namespaces of its own; 0.8 brings it"],
];

/** Options in the order in which bubblewrap carries them out: a later mount covers an earlier one. */
export function planBubblewrap(
  request: BubblewrapRequest,
  context: SandboxContext,
): SandboxPlan | SandboxRefusal {
  const { bubblewrap } = context.capabilities;
  if (!bubblewrap.available)
    return refuse("SANDBOX_UNAVAILABLE", `bubblewrap cannot be used here: ${bubblewrap.reason}`);
  const features = new Set<BubblewrapFeature>(bubblewrap.features ?? []);
  for (const [feature, why] of NEEDED)
    if (!features.has(feature))
      return refuse("SANDBOX_UNAVAILABLE", `bubblewrap ${bubblewrap.version} has no ${why}`);
  const problem = pathProblem(request, context);
  if (problem !== undefined) return problem;

  const opened: OpenedPath[] = [];
  const handOver = (path: string, identity?: OpenedPath["identity"]) => {
    const fd = FIRST_OPENED_FD + opened.length;
    opened.push(identity === undefined ? { fd, path } : { fd, path, identity });
    return String(fd);
  };
  const { executable, cwd } = context;
  const privateTmpfs = (path: string) =>
    features.has("size") ? ["--size", String(context.private_bytes), "--tmpfs", path] : ["--tmpfs", path];

  const options = [...isolation(request), ...systemView(request, context)];
  for (const path of PRIVATE_DIRECTORIES) options.push(...privateTmpfs(path));
  const home = privateHome(request, context);
  if (home !== undefined) options.push(...privateTmpfs(home));
  else if (isBelowPrivate(context.env.HOME ?? "")) options.push("--dir", context.env.HOME ?? "");

  const cwdIsPrivate = isPrivate(cwd.path, home);
  const lists = {
    read_only_paths: request.read_only_paths.filter((path) => !cwdIsPrivate || path !== cwd.path),
    writable_paths: request.writable_paths.filter((path) => !cwdIsPrivate || path !== cwd.path),
  };
  for (const { path, writable, identity } of policyMounts(lists, cwdIsPrivate ? null : cwd))
    options.push(writable ? "--bind-fd" : "--ro-bind-fd", handOver(path, identity), path);
  options.push("--ro-bind-fd", handOver(executable.path, executable), executable.path);
  options.push(...masks(request, context));

  const name = context.argv[0] ?? executable.path;
  let command = executable.path;
  if (name !== executable.path) {
    if (features.has("argv0")) options.push("--argv0", name);
    else if (basename(name) !== basename(executable.path)) {
      command = `${NAME_DIRECTORY}/${basename(name)}`;
      options.push("--symlink", executable.path, command);
    }
  }
  options.push("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", cwd.path, "--clearenv");
  for (const [key, value] of Object.entries(context.env)) options.push("--setenv", key, value);

  return {
    file: bubblewrap.path,
    argv: ["bwrap", "--args", String(OPTIONS_FD), "--", command, ...context.argv.slice(1)],
    // The launcher itself runs outside: nothing of the child's environment may reach its loader.
    env: {},
    cwd: "/",
    opened,
    options,
  };
}

function isolation(request: BubblewrapRequest): string[] {
  const options = ["--unshare-all", "--unshare-user", "--disable-userns"];
  if (request.network === "allow") options.push("--share-net");
  options.push("--die-with-parent", "--new-session", "--cap-drop", "ALL");
  options.push("--json-status-fd", String(STATUS_FD), "--block-fd", String(GATE_FD));
  return options;
}

function systemView(request: BubblewrapRequest, context: SandboxContext): string[] {
  const options = [
    "--proc",
    "/proc",
    "--ro-bind",
    "/proc/sys",
    "/proc/sys",
    "--dev",
    "/dev",
    "--dir",
    "/run",
  ];
  if (context.uid === 0) {
    const present = (path: string) => context.kindOf(path) !== "missing";
    for (const path of ROOT_PROC_DIRECTORIES.filter(present)) options.push("--ro-bind", path, path);
    for (const path of ROOT_PROC_FILES.filter(present)) options.push("--ro-bind", "/dev/null", path);
  }
  const shown = [...SYSTEM_PATHS, ...(request.network === "allow" ? RESOLVER_PATHS : [])];
  for (const path of shown) if (context.kindOf(path) !== "missing") options.push("--ro-bind", path, path);
  return options;
}

/** Covers, inside of what the system view shows, what must not be seen. */
function masks(request: BubblewrapRequest, context: SandboxContext): string[] {
  const hidden = [...request.hidden_paths, ...(context.uid === 0 ? ROOT_SECRETS : [])];
  const options: string[] = [];
  for (const path of hidden) {
    if (!SYSTEM_PATHS.some((shown) => isWithin(path, shown))) continue;
    const kind = context.kindOf(path);
    if (kind === "directory") options.push("--tmpfs", path);
    if (kind === "file") options.push("--ro-bind", "/dev/null", path);
  }
  return options;
}

function pathProblem(request: BubblewrapRequest, context: SandboxContext): SandboxRefusal | undefined {
  const { cwd, executable } = context;
  const home = privateHome(request, context);
  const listed = [
    ...request.writable_paths.map((path) => ({ path, what: "the writable path" })),
    ...request.read_only_paths.map((path) => ({ path, what: "the read-only path" })),
    ...(isPrivate(cwd.path, home) ? [] : [{ path: cwd.path, what: "the working directory" }]),
  ];
  for (const { path, what } of listed) {
    const hidden = request.hidden_paths.find((one) => isWithin(one, path) || isWithin(path, one));
    if (hidden !== undefined)
      return refuse("SANDBOX_PATH", `${what} ${path} would show ${hidden}, which no sandbox shows`);
    const kernel = [...KERNEL_PATHS, "/"].find((one) =>
      one === "/" ? path === "/" : isWithin(path, one) || isWithin(one, path),
    );
    if (kernel !== undefined && !isBelowPrivate(path))
      return refuse("SANDBOX_PATH", `${what} ${path} would show ${kernel} of this machine`);
  }
  const visible = [...SYSTEM_PATHS, ...request.writable_paths, ...request.read_only_paths];
  if (!isPrivate(cwd.path, home)) visible.push(cwd.path);
  const covered = request.hidden_paths.some((path) => isWithin(executable.path, path));
  if (covered || !visible.some((path) => isWithin(executable.path, path)))
    return refuse(
      "SANDBOX_HIDES_PROGRAM",
      `${executable.path} is not visible in the sandbox; a line in the policy's read_only_paths adds it`,
    );
  return undefined;
}

/** Whether a directory is the sandbox's own, so that the machine's is never shown there. */
function isPrivate(path: string, home: string | undefined): boolean {
  return PRIVATE_DIRECTORIES.includes(path) || path === home;
}

function isBelowPrivate(path: string): boolean {
  return PRIVATE_DIRECTORIES.some((directory) => isWithin(path, directory));
}

function refuse(code: SandboxRefusal["refused"]["code"], message: string): SandboxRefusal {
  return { refused: { code, message } };
}
