/** Swaps a directory for a link to another place, and back, as fast as it can, until its stdin is closed. */
import { renameSync, symlinkSync } from "node:fs";

const [directory = "", elsewhere = ""] = process.argv.slice(2);
const [aside, link] = [`${directory}.aside`, `${directory}.link`];
let over = false;
process.stdin.resume().on("end", () => {
  over = true;
});
symlinkSync(elsewhere, link);

function swapForAWhile(): void {
  for (let n = 0; n < 500; n++) {
    renameSync(directory, aside);
    try {
      renameSync(link, directory);
      renameSync(directory, link);
    } catch {
      // The launcher of a sandbox made the place meanwhile that it wants to mount on: an empty one, which the next line replaces.
    }
    renameSync(aside, directory);
  }
  if (!over) setImmediate(swapForAWhile);
}
process.stdout.write("swapping\n");
swapForAWhile();
