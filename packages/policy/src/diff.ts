/** The lines that differ between two texts, as a person reads them in a unified diff; empty when none do. */
export function unifiedDiff(before: string, after: string, file: string, context = 3): string {
  const rows = compare(lines(before), lines(after));
  const near = rows.map((_, at) =>
    rows.slice(Math.max(0, at - context), at + context + 1).some((row) => row.mark !== " "),
  );
  let text = "";
  let shown = false;
  let [oldLine, newLine] = [1, 1];
  for (const [at, row] of rows.entries()) {
    if (near[at]) {
      if (!shown) {
        const end = near.indexOf(false, at);
        const hunk = rows.slice(at, end < 0 ? rows.length : end);
        const count = (mark: string) =>
          hunk.filter((other) => other.mark === " " || other.mark === mark).length;
        text += `@@ -${range(oldLine, count("-"))} +${range(newLine, count("+"))} @@\n`;
      }
      text += `${row.mark}${row.line}\n`;
    }
    shown = near[at] === true;
    if (row.mark !== "+") oldLine++;
    if (row.mark !== "-") newLine++;
  }
  return text === "" ? "" : `--- ${file}\n+++ ${file}\n${text}`;
}

/** An empty range is named by the line before it. */
function range(line: number, count: number): string {
  return `${count === 0 ? line - 1 : line},${count}`;
}

interface Row {
  mark: " " | "-" | "+";
  line: string;
}

function lines(text: string): string[] {
  const all = text.split("\n");
  return all.at(-1) === "" ? all.slice(0, -1) : all;
}

/** By the longest common subsequence. */
function compare(a: string[], b: string[]): Row[] {
  const common = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number) => common[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    const row = common[i] ?? [];
    for (let j = b.length - 1; j >= 0; j--) {
      row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const rows: Row[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      rows.push({ mark: " ", line: a[i] ?? "" });
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      rows.push({ mark: "-", line: a[i++] ?? "" });
    } else {
      rows.push({ mark: "+", line: b[j++] ?? "" });
    }
  }
  return rows;
}
