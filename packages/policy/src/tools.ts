import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type {
  AllowedCommand,
  AllowedDirectory,
  LoadedPolicy,
  Tool,
  ToolDefinition,
  ToolSelector,
} from "./model.ts";
import { compilePattern } from "./patterns.ts";
import type { KeyPath } from "./positions.ts";
import type { Report } from "./problems.ts";
import type { ToolTable } from "./schema.ts";
import { didYouMean } from "./suggest.ts";
import { type ArgumentTemplate, parseTemplate, properties, wholeArguments } from "./template.ts";

const toolName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const versionShape = /^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})$/;
const partialVersion = /^\d{1,9}(\.\d{1,9}){0,2}$/;

/** `NAME` or `NAME@VERSION`; null when it is neither. */
export function parseSelector(text: string): ToolSelector | null {
  const at = text.indexOf("@");
  const name = at < 0 ? text : text.slice(0, at);
  const version = at < 0 ? null : text.slice(at + 1);
  if (!toolName.test(name) || (version !== null && !partialVersion.test(version))) return null;
  return { name, version };
}

export function selects(selector: ToolSelector, tool: { name: string; version: string }): boolean {
  if (selector.name !== tool.name) return false;
  return (
    selector.version === null ||
    tool.version === selector.version ||
    tool.version.startsWith(`${selector.version}.`)
  );
}

/** Patterns in schemas are RE2 as well: ECMAScript's backtrack. */
const linear = Object.assign(
  (source: string) => {
    const pattern = compilePattern(source);
    // The validator tells patterns apart by their text: without one they would all be the first of them.
    return { test: (text: string) => pattern.occursIn(text), toString: () => source };
  },
  { code: "linear" },
);

/** One table of [tools]; null when it has problems, which are reported. */
export function compileTool(
  name: string,
  table: ToolTable,
  path: KeyPath,
  report: Report,
  resolve: {
    command(written: string, path: KeyPath): AllowedCommand | null;
    directory(written: string, path: KeyPath): AllowedDirectory | null;
  },
): Tool | null {
  if (!toolName.test(name)) report.add(path, "a tool's name is 1 to 64 letters, digits, `_`, `.` and `-`");
  if (!versionShape.test(table.version)) {
    report.add(
      [...path, "version"],
      `must be three numbers such as "1.0.0", and is ${JSON.stringify(table.version)}`,
    );
  }
  const inputSchema = table.input ?? { type: "object", properties: {}, additionalProperties: false };
  if (inputSchema.type !== "object") report.add([...path, "input"], 'must have type = "object"');
  const check = compileSchema(inputSchema, [...path, "input"], report);
  if (table.output_schema) compileSchema(table.output_schema, [...path, "output_schema"], report);
  const directory = resolve.directory(table.cwd, [...path, "cwd"]);
  const [program, ...rest] = table.command;
  if (typeof program !== "string") {
    report.add([...path, "command"], "must begin with the name of a command");
    return null;
  }
  if (/[{}]/.test(program))
    report.add([...path, "command", 0], "the command itself cannot be an argument of the caller");
  const command = resolve.command(program, [...path, "command", 0]);
  const template = rest.flatMap((item, index) =>
    compileItem(item, inputSchema, [...path, "command", index + 1], report),
  );
  if (!command || !directory || !check) return null;
  return {
    name,
    version: table.version,
    description: table.description ?? "",
    inputSchema,
    outputSchema: table.output_schema ?? {},
    output: table.output ?? "text",
    command,
    template,
    directory,
    maxRuntimeMs: table.max_runtime_ms ?? null,
    rule: report.rule(path),
    validate(args) {
      const copy = structuredClone(args);
      return check(copy) ? { ok: true, args: copy } : { ok: false, detail: describe(check.errors ?? []) };
    },
  };
}

/** One for all, because making one takes longer than a policy takes to load; it keeps no schema. */
const ajv = new Ajv({
  strict: true,
  strictRequired: false,
  useDefaults: true,
  addUsedSchema: false,
  code: { regExp: linear },
});

function compileSchema(
  schema: Record<string, unknown>,
  path: KeyPath,
  report: Report,
): ValidateFunction | null {
  try {
    return ajv.compile(schema);
  } catch (error) {
    report.add(path, `is no usable JSON Schema: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  } finally {
    ajv.removeSchema(schema);
  }
}

function compileItem(
  item: string | string[],
  schema: Record<string, unknown>,
  path: KeyPath,
  report: Report,
): ArgumentTemplate[] {
  let template: ArgumentTemplate;
  try {
    template = parseTemplate(item);
  } catch (error) {
    report.add(path, error instanceof Error ? error.message : String(error));
    return [];
  }
  const alone = wholeArguments(template);
  for (const property of properties(template)) {
    const known = tableOf(schema.properties);
    const declared = tableOf(known[property]);
    if (!Object.hasOwn(known, property)) {
      report.add(
        path,
        `{${property}} is not among the input's properties${didYouMean(property, Object.keys(known))}`,
      );
    } else if (!isScalar(declared) && !(alone.includes(property) && isScalarList(declared))) {
      report.add(
        path,
        `{${property}} must be text, a number or a boolean by its schema's \`type\` or \`enum\`, or a list of those that fills an argument alone`,
      );
    }
  }
  return [template];
}

const scalars = new Set(["string", "integer", "number", "boolean"]);

function isScalar(schema: Record<string, unknown>): boolean {
  if (typeof schema.type === "string") return scalars.has(schema.type);
  if (Array.isArray(schema.enum)) return schema.enum.every((value) => typeof value !== "object");
  return false;
}

function isScalarList(schema: Record<string, unknown>): boolean {
  return schema.type === "array" && isScalar(tableOf(schema.items));
}

export function tableOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function describe(errors: ErrorObject[]): string {
  const [error] = errors;
  if (!error) return "the arguments do not fit";
  const where =
    error.instancePath === "" ? "the arguments" : error.instancePath.slice(1).replaceAll("/", ".");
  const extra =
    error.keyword === "additionalProperties" ? ` (${JSON.stringify(error.params.additionalProperty)})` : "";
  return `${where} ${error.message ?? "do not fit"}${extra}`;
}

/** What this machine offers, for the rooms' tool state and `tools list`. Nothing while the policy is not usable. */
export function tools(loaded: LoadedPolicy): ToolDefinition[] {
  if (loaded.state !== "ok") return [];
  return [...loaded.policy.tools.values()].map((tool) => ({
    name: tool.name,
    version: tool.version,
    description: tool.description,
    input_schema: tool.inputSchema,
    output_schema: tool.outputSchema,
  }));
}
