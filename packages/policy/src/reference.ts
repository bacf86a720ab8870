/** The policy reference as Markdown, generated from the schema that reads the file. */
import { z } from "zod";
import { denyCodes } from "./codes.ts";
import * as schema from "./schema.ts";
import { builtIn } from "./settings.ts";

const tables: [string, string, z.ZodObject][] = [
  ["policy.toml", "", schema.document],
  ["[execution]", "What every run gets, unless an entry says otherwise.", schema.execution],
  ['[rooms."!id"]', "", schema.room],
  [
    '[rooms."!id".agents."WHO"]',
    'WHO is a Matrix user, `"group:NAME"` or `"*"`. Entries add up: each that names the user is asked on its own, with its own restrictions, and what several of them allow for the same request is combined to the widest of each limit. To take something away from one user, take it out of every entry that names that user.',
    schema.agent,
  ],
  ["Items of requires_approval", "A request that fits one of them is held.", schema.approval],
  ["[tools.NAME]", "", schema.tool],
  ["[[test]]", "", schema.test],
  ["request of a [[test]]", "", schema.test.shape.request],
];

const defaults: Record<string, string> = {
  sandbox: builtIn.sandbox,
  network: builtIn.network,
  max_runtime_ms: String(builtIn.maxRuntimeMs),
  max_output_bytes: String(builtIn.maxOutputBytes),
  max_concurrent: String(builtIn.maxConcurrent),
  max_file_bytes: `${builtIn.maxFileBytes}, in a sandbox`,
};

export function policyReference(): string {
  const sections = tables.map(([title, text, table]) => {
    const rows = Object.entries(table.shape).map(([key, field]) => {
      const built = table === schema.execution ? defaults[key] : undefined;
      const note = built === undefined ? "" : ` If absent: \`${built}\`.`;
      return `| \`${key}\` | ${typeOf(field)} | ${escapeCell(description(field) + note)} |`;
    });
    return [
      `## ${title}`,
      ...(text === "" ? [] : [text]),
      ["| key | value | meaning |", "|---|---|---|", ...rows].join("\n"),
    ].join("\n\n");
  });
  const codes = Object.entries(denyCodes).map(
    ([code, { reason, meaning }]) => `| \`${code}\` | \`${reason}\` | ${escapeCell(meaning)} |`,
  );
  return `# Policy reference

Generated from the schema; nothing here is written by hand. Deny by default: what no entry allows is denied, and a file with a mistake denies everything.

${sections.join("\n\n")}

## Codes

What \`expect = "deny:CODE"\` of a [[test]] and \`policy explain\` say, and the reason that the peer hears.

| code | reason | meaning |
|---|---|---|
${codes.join("\n")}
`;
}

function description(field: unknown): string {
  if (!(field instanceof z.ZodType)) return "";
  if (field.description !== undefined) return field.description;
  return field instanceof z.ZodOptional ? description(field.unwrap()) : "";
}

function typeOf(field: unknown): string {
  if (!(field instanceof z.ZodType)) return "";
  if (field instanceof z.ZodOptional) return typeOf(field.unwrap());
  if (field instanceof z.ZodEnum) return field.options.map((option) => `\`"${option}"\``).join(", ");
  if (field instanceof z.ZodLiteral) return [...field.values].map((value) => `\`${value}\``).join(", ");
  if (field instanceof z.ZodBoolean) return "true or false";
  if (field instanceof z.ZodNumber) return "whole number";
  if (field instanceof z.ZodString) return "text";
  if (field instanceof z.ZodArray) return `list of ${typeOf(field.element)}`;
  if (field instanceof z.ZodUnion) return field.options.map(typeOf).join(", or ");
  return "table";
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}
