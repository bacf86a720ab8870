/** Paths as text: absolute, `/`-separated, compared at segment boundaries. */

/** Whether `path` is `directory` or lies inside it. Both normalized. */
export function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

/** `~/` replaced, double and trailing slashes taken out; null when it is not absolute or has `.` or `..`. */
export function absolutePath(text: string, home: string): string | null {
  const fromHome = text === "~" || text.startsWith("~/");
  if (fromHome && !home.startsWith("/")) return null;
  const whole = fromHome ? home + text.slice(1) : text;
  if (!whole.startsWith("/") || whole.includes("\0")) return null;
  const segments = whole.split("/").filter((segment) => segment !== "");
  if (segments.some((segment) => segment === "." || segment === "..")) return null;
  return `/${segments.join("/")}`;
}
