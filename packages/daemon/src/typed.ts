/** For a line that a person may paste into a shell: a stranger's name is shown only where it can do nothing there. */
export function typed(name: string | undefined, otherwise: string): string {
  return name !== undefined && /^[\w!:.][\w!:.-]*$/.test(name) ? `'${name}'` : otherwise;
}
