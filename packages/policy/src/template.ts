/**
 * The argv of a tool: strings with `{name}` in them, filled in without a shell, so that a value is
 * never more than one argument or a part of one. `{{` and `}}` are braces.
 */

/** Strings in an inner list stand or fall together. */
export interface ArgumentTemplate {
  arguments: Part[][];
}

type Part = { text: string } | { property: string };

const token = /\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_-]*)\}|[{}]|[^{}]+/g;

/** @throws Error that says which brace is wrong. */
export function parseTemplate(item: string | string[]): ArgumentTemplate {
  return { arguments: (typeof item === "string" ? [item] : item).map(parseArgument) };
}

function parseArgument(text: string): Part[] {
  const parts: Part[] = [];
  for (const match of text.matchAll(token)) {
    const [piece, property] = match;
    if (property !== undefined) parts.push({ property });
    else if (piece === "{" || piece === "}") {
      throw new Error(
        `${JSON.stringify(text)} has a single ${piece}; write {name} for an argument, {{ and }} for braces`,
      );
    } else parts.push({ text: piece === "{{" ? "{" : piece === "}}" ? "}" : piece });
  }
  return parts;
}

export function properties(template: ArgumentTemplate): string[] {
  return template.arguments.flat().flatMap((part) => ("property" in part ? [part.property] : []));
}

/** Properties that fill an argument alone: what they hold could be read as an option. */
export function wholeArguments(template: ArgumentTemplate): string[] {
  return template.arguments.flatMap(([first, ...rest]) =>
    first && "property" in first && rest.length === 0 ? [first.property] : [],
  );
}

export interface FilledArgument {
  text: string;
  /** Whether the caller had a say in it. */
  filled: boolean;
}

/**
 * The arguments, with the caller's values. Where a property has no value the whole template item is
 * left out. A list of values fills an argument alone, and gives one argument for each.
 * @throws Error where a value is no text, number or boolean, or has a NUL byte.
 */
export function fill(template: ArgumentTemplate, values: Record<string, unknown>): FilledArgument[] {
  if (properties(template).some((property) => own(values, property) === undefined)) return [];
  return template.arguments.flatMap((parts): FilledArgument[] => {
    const [first, ...rest] = parts;
    if (first && "property" in first && rest.length === 0) {
      const value = own(values, first.property);
      const items: unknown[] = Array.isArray(value) ? value : [value];
      return items.map((item) => ({ text: scalar(first.property, item), filled: true }));
    }
    const text = parts
      .map((part) => ("text" in part ? part.text : scalar(part.property, own(values, part.property))))
      .join("");
    return [{ text, filled: parts.some((part) => "property" in part) }];
  });
}

function own(values: Record<string, unknown>, property: string): unknown {
  return Object.hasOwn(values, property) ? values[property] : undefined;
}

function scalar(property: string, value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
    throw new Error(`${property} is neither text nor number nor boolean`);
  }
  const text = String(value);
  if (text.includes("\0")) throw new Error(`${property} has a NUL byte`);
  return text;
}
