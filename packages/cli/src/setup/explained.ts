import type { Cli } from "../cli.ts";
import { directories } from "../places.ts";

/** What fails on a full disk fails in many ways, a daemon that ends in the middle of a call among them: it is said once. */
export async function explained<T>(cli: Cli, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { fullDisk } = await import("../background/full-disk.ts");
    throw fullDisk(directories(cli.env).data) ?? error;
  }
}
