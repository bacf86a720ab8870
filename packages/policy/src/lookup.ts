/** Finds on the machine what a policy names, once, when it is loaded; what is wrong or missing is reported. */
import type { Machine } from "./machine.ts";
import type { AllowedCommand, AllowedDirectory } from "./model.ts";
import { absolutePath, isInside } from "./paths.ts";
import type { KeyPath } from "./positions.ts";
import type { Report } from "./problems.ts";

export class Lookup {
  readonly #report: Report;
  readonly #machine: Machine;
  /** As they are called, and where they really are. */
  readonly #private: string[];

  constructor(report: Report, machine: Machine) {
    this.#report = report;
    this.#machine = machine;
    this.#private = (machine.private_paths ?? []).flatMap((path) => [
      path,
      machine.resolveDirectory(path)?.path ?? path,
    ]);
  }

  command(written: string, path: KeyPath): AllowedCommand | null {
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

  directory(written: string, path: KeyPath): AllowedDirectory | null {
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
  shownDirectory(written: string, path: KeyPath): AllowedDirectory | null {
    const directory = this.directory(written, path);
    if (directory) this.#refusePrivate(directory.path, written, path);
    return directory;
  }

  /** A path that is not there is left out: a sandbox can show only what is. */
  shown(written: string, path: KeyPath): string | null {
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
    const found = this.#private.find((hidden) => isInside(real, hidden) || isInside(hidden, real));
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
