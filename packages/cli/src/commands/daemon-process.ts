import type { Define } from "../verb.ts";

export const define: Define = (command, cli) => {
  command.action(async () => {
    const { runDaemonProcess } = await import("../background/daemon-process.ts");
    await runDaemonProcess(cli, false);
  });
};
