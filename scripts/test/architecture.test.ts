/** The import table of the design ("Shape"), held over the sources and over the built bundle. */
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../tasks.ts";
import { type Import, importsOf, packageOf, readBundle, sources, withoutComments } from "./imports.ts";

/** Which packages of ours each package may import. */
const table: Readonly<Record<string, { always: string[]; lazily?: string[] }>> = {
  base: { always: [] },
  protocol: { always: ["base"] },
  policy: { always: ["base", "protocol"] },
  sandbox: { always: ["base", "protocol"] },
  runner: { always: ["base", "protocol", "sandbox"] },
  ipc: { always: ["base", "protocol"] },
  homeserver: { always: ["base"] },
  daemon: { always: ["base", "protocol", "policy", "sandbox", "runner", "ipc"] },
  cli: { always: ["base", "protocol", "policy", "ipc"], lazily: ["daemon", "runner", "homeserver"] },
  mcp: { always: ["base", "protocol", "ipc"] },
};

/** Who may load what is heavy, native or dangerous; by file or folder. */
const owners: Readonly<Record<string, string[]>> = {
  // The parent of every child, the probes of the machine, and what starts our own processes in the background.
  "node:child_process": [
    "packages/runner/src/",
    "packages/sandbox/src/probe.ts",
    "packages/cli/src/background/",
    "packages/homeserver/src/background.ts",
  ],
  "matrix-js-sdk": ["packages/daemon/src/matrix/"],
  "fake-indexeddb": ["packages/daemon/src/matrix/crypto-store/"],
  "@matrix-org/matrix-sdk-crypto-wasm": ["packages/daemon/src/matrix/"],
  koffi: ["packages/daemon/src/ipc/", "packages/runner/src/native.ts"],
  zod: ["packages/protocol/src/v1/", "packages/policy/src/", "packages/daemon/src/"],
  pino: ["packages/base/src/log.ts", "packages/daemon/src/"],
  re2js: ["packages/policy/src/patterns.ts"],
  ajv: ["packages/policy/src/tools.ts"],
  commander: ["packages/cli/src/"],
  "json-rpc-2.0": ["packages/ipc/src/"],
};

/** What may never be evaluated before a command does its work; each may be loaded lazily by what needs it. */
const slow =
  /node_modules\/(?:zod|matrix-js-sdk|pino|koffi|re2js|fake-indexeddb|ajv|smol-toml|@matrix-org)\/|^packages\/(?:daemon|runner|homeserver|sandbox)\//;

const files = sources();
const imports = files.flatMap((file) => file.imports.map((found) => ({ ...found, package: file.package })));
const at = ({ file, specifier, kind }: Import) => `${file} imports ${specifier} (${kind})`;

test("the reader of imports sees every form that we write", () => {
  const text = `
import { a } from "one";
import type { B } from "two";
import {
  type C,
  d,
} from "three";
import * as e from "four";
import "five";
export * from "six";
export type { F } from "seven";
export { g } from "eight";
// import { no } from "comment";
/* import { no } from "comment"; */
const h = await import("nine");
let i: typeof import("ten");
const j = createRequire(import.meta.url)("eleven");
limits.require("comment");
`;
  const kinds = (kind: string) =>
    importsOf("x.ts", text)
      .filter((found) => found.kind === kind)
      .map((found) => found.specifier)
      .join(" ");
  expect(kinds("static")).toBe("one three four five six eight");
  expect(kinds("type")).toBe("two seven ten");
  expect(kinds("dynamic")).toBe("nine eleven");
});

describe("sources", () => {
  test("there are some, in every package of the table that exists", () => {
    expect(files.length).toBeGreaterThan(100);
    for (const { package: name } of files) expect(Object.keys(table)).toContain(name);
  });

  test("import only those packages of ours that the table allows", () => {
    const wrong = imports.filter(({ package: from, specifier, kind }) => {
      if (!specifier.startsWith("@mx-agent/")) return false;
      const to = packageOf(specifier).replace("@mx-agent/", "");
      const { always = [], lazily = [] } = table[from] ?? {};
      return to !== from && !always.includes(to) && !(lazily.includes(to) && kind !== "static");
    });
    expect(wrong.map(at)).toEqual([]);
  });

  test("reach no other package by a path around its entry", () => {
    const wrong = imports.filter(({ file, package: from, specifier }) => {
      if (!specifier.startsWith(".")) return false;
      return !normalize(join(dirname(file), specifier)).startsWith(`packages/${from}/src/`);
    });
    expect(wrong.map(at)).toEqual([]);
  });

  test("import from outside only what their package.json declares", () => {
    const declared = (name: string): Record<string, string> =>
      JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")).dependencies ?? {};
    const wrong = imports.filter(
      ({ package: from, specifier }) =>
        !specifier.startsWith(".") &&
        !specifier.startsWith("node:") &&
        !Object.hasOwn(declared(from), packageOf(specifier)),
    );
    expect(wrong.map(at)).toEqual([]);
  });

  test.each(Object.entries(owners))("%s is loaded by those alone who may", (name, allowed) => {
    const wrong = imports.filter(
      ({ file, specifier, kind }) =>
        kind !== "type" &&
        (name.startsWith("node:") ? specifier : packageOf(specifier)) === name &&
        !allowed.some((place) => file.startsWith(place)),
    );
    expect(wrong.map(at)).toEqual([]);
  });

  test("protocol does no I/O, policy looks at the machine in one file, no entry of theirs does more", () => {
    const world = /^node:(?!crypto$|path$|util$|buffer$)/;
    const wrong = imports.filter(
      ({ package: from, file, specifier, kind }) =>
        kind !== "type" &&
        world.test(specifier) &&
        (from === "protocol" || (from === "policy" && file !== "packages/policy/src/machine.ts")),
    );
    expect(wrong.map(at)).toEqual([]);
  });

  test("every lazy import names what it loads", () => {
    const wrong = files.filter(({ text }) => /\bimport\((?!\s*["'])/.test(withoutComments(text)));
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });

  test("export by name, never by default", () => {
    const wrong = files.filter(({ text }) => /^export default\b|\bas default\b/m.test(withoutComments(text)));
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });

  test("are files of one idea: none over 350 lines", () => {
    const long = files.filter(({ text }) => text.split("\n").length > 351);
    expect(long.map(({ file, text }) => `${file}: ${text.split("\n").length}`)).toEqual([]);
  });

  test("silence neither the compiler nor the linter", () => {
    const wrong = files.filter(({ text }) => /@ts-(?:ignore|nocheck|expect-error)|biome-ignore/.test(text));
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });
});

describe("Admitted", () => {
  const code = files.map(({ file, text }) => ({ file, text: withoutComments(text) }));

  test("is made in one place: admit", () => {
    const makers = code.filter(({ text }) => /\bas (?:unknown as )?Admitted\b|<Admitted>/.test(text));
    expect(makers.map(({ file }) => file)).toEqual(["packages/daemon/src/admit/admit.ts"]);
  });

  test("has a brand that nobody else can name, and is declared once", () => {
    const declared = code.filter(({ text }) => /\b(?:interface|type|class) Admitted\b/.test(text));
    expect(declared.map(({ file }) => file)).toEqual(["packages/daemon/src/admit/admitted.ts"]);
    const text = declared[0]?.text ?? "";
    expect(text).toMatch(/^declare const brand: unique symbol;$/m);
    expect(text).toMatch(/readonly \[brand\]: true;/);
    expect(text).not.toMatch(/export (?:declare )?(?:const |\{[^}]*)\bbrand\b/);
  });

  test("is what a run is started from, and nothing else starts one", () => {
    const starters = code.filter(
      ({ file, text }) => file.startsWith("packages/daemon/") && /runner\.start\(/.test(text),
    );
    for (const { file, text } of starters) expect(text, file).toMatch(/\badmitted: Admitted\b/);
  });
});

describe("the built bundle", () => {
  const bundle = readBundle();
  const commands = bundle.entries.filter(
    ({ source }) => source === "packages/cli/src/main.ts" || source.startsWith("packages/cli/src/commands/"),
  );

  test("has the entry and its commands", () => {
    expect(commands.map(({ source }) => source)).toContain("packages/cli/src/main.ts");
    expect(bundle.entries.some(({ inputs }) => inputs.some((input) => slow.test(input)))).toBe(true);
  });

  test.each(commands)(
    "$source starts without SDK, schema library, logger, parser or native part",
    ({ inputs, externals }) => {
      expect(inputs.filter((input) => slow.test(input))).toEqual([]);
      expect(externals.filter((name) => !name.startsWith("node:"))).toEqual([]);
    },
  );

  test("spawns nothing from sources that may not", () => {
    const allowed = owners["node:child_process"] ?? [];
    const importers = ["node:child_process", "child_process"].flatMap((name) => bundle.importersOf(name));
    expect(importers.filter((file) => !allowed.some((place) => file.startsWith(place)))).toEqual([]);
  });
});
